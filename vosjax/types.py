"""The arrays and records that cross layer borders.

Axes: `b` batch, `t` time, `o` object slot, `h w` rows and columns, `c` channels,
`k` mixture component.
"""

from collections.abc import Mapping
from typing import Any

import flax.struct
from jaxtyping import Array, Bool, Float, Int, UInt8

Frames = Float[Array, "b h w 3"]  # RGB in [0, 1]
Masks = Float[Array, "b o h w"]  # per object slot, in [0, 1]
Clip = UInt8[Array, "b t h w 3"]
Labels = Int[Array, "b t h w"] | UInt8[Array, "b t h w"]  # 255 = void
Active = Bool[Array, "b o"]  # which object slots are in use
Variables = Mapping[str, Any]


@flax.struct.dataclass
class VideoBatch:
  """Clips as the data pipeline hands them over, still in bytes.

  Attributes:
    frames: RGB, 0 to 255.
    labels: 0 = background, 255 = void, other values = object ids.
  """

  frames: Clip
  labels: Labels


@flax.struct.dataclass
class Prediction:
  """What a model says of one frame.

  Attributes:
    logits: object against background for each slot, at the size of the frame.
    aux: further outputs by name; each model documents its own.
  """

  logits: Float[Array, "b o h w"]
  aux: Mapping[str, Array]
