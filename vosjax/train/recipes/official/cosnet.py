"""Quirks of the released COSNet: its losses, its sources and its optimizer.

Source: the released COSNet (Lu et al., CVPR 2019).
"""

import functools
import re

import flax.linen as nn
from jaxtyping import Array, Float

from vosjax.data.video import Source, Video
from vosjax.losses import scaled_bce

# Infinite for a batch without any object.
unguarded_bce = functools.partial(scaled_bce, min_positives=0)

# Its list of parameters names most of the encoder's several times.
# Pattern of a parameter's path -> how often the list names it; the first match counts.
_REPEATS = (
  (r"encoder/resnet/stage\d/block\d+/shortcut/.*", 4),
  (r"encoder/resnet/stage\d/.*", 3),
  (r"encoder/pyramid/.*", 2),
)


def num_updates(path: str) -> int:
  """Number of updates per step of the parameter at a path, joined by slashes."""
  return next((n for pattern, n in _REPEATS if re.fullmatch(pattern, path)), 1)


def still_logits(
  model: nn.Module, frames: Float[Array, "b 1 h w 3"]
) -> tuple[Array, ...]:
  """Saliency logits of stills that are paired with themselves.

  The running statistics of BatchNorm are thus updated twice.
  """
  return (model.pair_logits(frames[:, 0], frames[:, 0], train=True).saliency_b,)


class WithoutEnds(Source):
  """A source without its first and last video, which are never drawn."""

  def __init__(self, source: Source):
    self._source = source

  def __len__(self) -> int:
    return len(self._source) - 2

  def __getitem__(self, index: int) -> Video:
    return self._source[index + 1]

  @property
  def origin(self) -> str | None:
    return self._source.origin
