"""Arrays and records that pass between the layers of the package.

Axes: `b` batch, `t` time, `o` object slot, `h w` rows and columns, `c` channels,
`k` mixture component.
"""

from collections.abc import Mapping
from typing import Any, dataclass_transform, no_type_check

import flax.struct
import jax
import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt8

AnyArray = jax.Array | np.ndarray
Frames = Float[AnyArray, "b h w 3"]  # RGB in [0, 1]
Masks = Float[AnyArray, "b o h w"]  # per object slot, in [0, 1]
ClipFrames = UInt8[AnyArray, "b t h w 3"]  # RGB, 0 to 255
ClipLabels = Int[AnyArray, "b t h w"] | UInt8[AnyArray, "b t h w"]  # 255 = void
Active = Bool[AnyArray, "b o"]  # which object slots are in use
Variables = Mapping[str, Any]


@dataclass_transform(field_specifiers=(flax.struct.field,))
def record(cls: type) -> type:
  """A flax.struct dataclass whose annotated shapes are documentation only.

  `scan`, `vmap` and `eval_shape` rebuild records with other leaves than arrays of
  these shapes, so a check at construction would refuse valid records.
  """
  return no_type_check(flax.struct.dataclass(cls))


@record
class VideoBatch:
  """A batch of clips as a training step takes it, in bytes.

  `train.step.shard` makes it of what the data pipeline yields.

  Attributes:
    frames: RGB, 0 to 255.
    labels: 0 = background, 255 = void, other values = object ids.
    classes: of the objects 1, 2, ..; 0 = no such object. None if classes are not
      needed.
  """

  frames: ClipFrames
  labels: ClipLabels
  classes: UInt8[AnyArray, "b g"] | None = None


@record
class Prediction:
  """Output of a model for one frame.

  Attributes:
    logits: object against background in each slot, at the framed size.
    aux: further outputs by name, which each model documents.
  """

  logits: Float[Array, "b o h w"]
  aux: Mapping[str, Array]
