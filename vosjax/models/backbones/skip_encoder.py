"""A backbone with a narrow skip connection from each stage (RVOS and RSIS)."""

import flax.linen as nn
from jaxtyping import Array, Float

from vosjax.models.backbones.registry import build_backbone
from vosjax.models.backbones.stages import STAGES
from vosjax.models.execution import Execution
from vosjax.models.modules.norm import ConvNorm
from vosjax.types import AnyArray

# Of `features`: channels of each skip connection, coarse to fine.
_DIVISORS = (1, 1, 2, 4, 8)


class SkipEncoder(nn.Module):
  """Skip connections, coarse to fine, without activations, as published.

  Attributes:
    backbone: one of BACKBONES.
    width: 64 for its published channels; others are proportional to it.
    features: channels of the coarsest skip connection.
    num_skips: 4 for stage4 to stage1, 5 for the stem as well.
    frozen: stages of the backbone that are not trained.
    execution: how the network is executed, see Execution.
  """

  backbone: str = "resnet101"
  width: int = 64
  features: int = 128
  num_skips: int = 4
  frozen: tuple[str, ...] = ()
  execution: Execution = Execution()

  def setup(self):
    self.network = build_backbone(
      self.backbone,
      self.width,
      output_stride=32,
      frozen=self.frozen,
      execution=self.execution,
      name="backbone",
    )
    self.skips = [
      ConvNorm(channels, 3, use_bias=True, execution=self.execution)
      for channels in self.channels
    ]

  @property
  def channels(self) -> tuple[int, ...]:
    """Channels of the skip connections, coarse to fine."""
    return tuple(self.features // n for n in _DIVISORS[: self.num_skips])

  def __call__(
    self, frames: Float[AnyArray, "n h w 3"], *, train: bool, steps: int = 1
  ) -> tuple[Float[Array, "..."], ...]:
    """Skip connections [n h w c] of RGB frames in [0, 1]."""
    x = self.network.normalise(frames)
    stages = self.network(x, train=train, steps=steps)
    taps = [getattr(stages, name) for name in reversed(STAGES)]
    return tuple(skip(x, train=train, steps=steps) for skip, x in zip(self.skips, taps))
