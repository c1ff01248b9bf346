"""EfficientNet-Lite 0 to 4, with dilation in place of late strides.

Source: Tan and Le, EfficientNet: Rethinking Model Scaling for Convolutional Neural
Networks, ICML 2019; the Lite variants, without squeeze-and-excitation and with ReLU6,
are those of github.com/tensorflow/tpu (models/official/efficientnet/lite).
"""

import dataclasses
import math

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from vosjax.models.backbones.stages import (
  STAGES,
  Stages,
  check_fields,
  stop_gradient,
)
from vosjax.models.execution import Execution
from vosjax.models.modules.norm import ConvNorm
from vosjax.types import AnyArray

# Factors of channels and of blocks; rows and columns of the images of ImageNet.
VARIANTS = {
  "efficientnet_lite0": (1.0, 1.0, 224),
  "efficientnet_lite1": (1.0, 1.1, 240),
  "efficientnet_lite2": (1.1, 1.2, 260),
  "efficientnet_lite3": (1.2, 1.4, 280),
  "efficientnet_lite4": (1.4, 1.8, 300),
}
# Standard deviations of the stages of EfficientNet-Lite0 on photographs. Those of Lite1
# and Lite2 differ by less than a fifth.
DEVIATIONS = {"stem": 1.7, "stage1": 8.3, "stage2": 6.8, "stage3": 5.6, "stage4": 2.6}
PUBLISHED_WIDTH = 64  # so that `width` means the same as for a ResNet
_STEM = 32  # the stem is not scaled
# Groups of blocks: stage, expansion, size of the kernel, stride, channels, blocks.
_GROUPS = (
  ("stage1", 1, 3, 1, 16, 1),
  ("stage1", 6, 3, 2, 24, 2),
  ("stage2", 6, 5, 2, 40, 2),
  ("stage3", 6, 3, 2, 80, 3),
  ("stage3", 6, 5, 1, 112, 3),
  ("stage4", 6, 5, 2, 192, 4),
  ("stage4", 6, 3, 1, 320, 1),
)


@dataclasses.dataclass(frozen=True)
class BlockShape:
  """Shape of one block; see Block."""

  features: int
  size: int
  stride: int
  dilation: int
  expansion: int
  residual: bool


def block_shapes(
  variant: str, width: int = PUBLISHED_WIDTH, output_stride: int = 32
) -> dict[str, tuple[BlockShape, ...]]:
  """Blocks of stage1 to stage4, in order."""
  channel_factor, block_factor, _ = VARIANTS[variant]
  found: dict[str, list[BlockShape]] = {stage: [] for stage in STAGES[1:]}
  total_stride, dilation = 2, 1
  for i, (stage, expansion, size, stride, channels, count) in enumerate(_GROUPS):
    if i not in (0, len(_GROUPS) - 1):  # Lite scales neither the first nor the last
      count = math.ceil(block_factor * count)
    previous = dilation
    if stride == 2 and total_stride >= output_stride:
      stride, dilation = 1, dilation * 2
    total_stride *= stride
    features = _narrow(_round_channels(channel_factor * channels), width)
    for j in range(count):
      first = j == 0
      found[stage].append(
        BlockShape(
          features,
          size,
          stride if first else 1,
          previous if first else dilation,
          expansion,
          residual=not first,
        )
      )
  return {stage: tuple(blocks) for stage, blocks in found.items()}


def stage_channels(
  variant: str, width: int = PUBLISHED_WIDTH
) -> tuple[int, int, int, int]:
  """Channels of stage1 to stage4."""
  blocks = block_shapes(variant, width)
  one, two, three, four = (blocks[stage][-1].features for stage in STAGES[1:])
  return one, two, three, four


def _round_channels(channels: float) -> int:
  """The nearest multiple of 8, but not less than 90 %."""
  rounded = max(8, int(channels + 4) // 8 * 8)
  return rounded + 8 if rounded < 0.9 * channels else rounded


def _narrow(channels: int, width: int) -> int:
  return -(-channels * width // PUBLISHED_WIDTH)


class Block(nn.Module):
  """An inverted residual block: 1x1 to more channels, depthwise, 1x1 to fewer.

  Attributes:
    features: channels of the result.
    size: rows and columns of the depthwise kernel.
    stride: of the depthwise convolution.
    dilation: of the depthwise convolution.
    expansion: channels of the depthwise convolution per channel of the input; with 1
      the first convolution is omitted.
    residual: add the input.
    execution: how the network is executed, see Execution.
  """

  features: int
  size: int
  stride: int
  dilation: int
  expansion: int
  residual: bool
  execution: Execution = Execution()

  @nn.compact
  def __call__(
    self, x: Float[Array, "n h w c"], train: bool, steps: int
  ) -> Float[Array, "n height width d"]:
    def unit(name, features, size, **options):
      module = ConvNorm(
        features,
        size,
        execution=self.execution,
        lineage="tensorflow",
        name=name,
        **options,
      )
      return lambda y: module(y, train=train, steps=steps)

    y, channels = x, self.expansion * x.shape[-1]
    if self.expansion > 1:
      y = nn.relu6(unit("expand", channels, 1)(y))
    depthwise = unit(
      "depthwise",
      channels,
      self.size,
      stride=self.stride,
      dilation=self.dilation,
      depthwise=True,
    )
    y = unit("project", self.features, 1)(nn.relu6(depthwise(y)))
    return x + y if self.residual else y


class Stage(nn.Module):
  """Consecutive blocks, of any shapes."""

  blocks: tuple[BlockShape, ...]
  execution: Execution = Execution()

  @nn.compact
  def __call__(
    self, x: Float[Array, "n h w c"], *, train: bool, steps: int
  ) -> Float[Array, "n height width d"]:
    block = nn.remat(Block, static_argnums=(2, 3)) if self.execution.remat else Block
    for i, shape in enumerate(self.blocks):
      fields = dataclasses.asdict(shape)
      x = block(**fields, execution=self.execution, name=f"block{i}")(x, train, steps)
    return x


class EfficientNet(nn.Module):
  """An EfficientNet-Lite without its classifier; returns the features of all stages.

  Features are divided by DEVIATIONS: those of the published weights have standard
  deviations of 1.7 to 8.3, and heads are initialised for features of about 1.
  Sizes are divided by strides rounding up, as with TensorFlow's SAME padding.

  Attributes:
    variant: one of VARIANTS.
    width: 64 stands for the published channels; others are proportional to it.
    output_stride: 8, 16 or 32; later strides are replaced by dilation.
    frozen: stages whose BatchNorm always uses running statistics; no gradient is
      computed for those before the first trained stage.
    execution: how the network is executed, see Execution.
  """

  variant: str = "efficientnet_lite0"
  width: int = PUBLISHED_WIDTH
  output_stride: int = 32
  frozen: tuple[str, ...] = ()
  execution: Execution = Execution()

  @nn.compact
  def __call__(
    self, x: Float[Array, "n h w 3"], *, train: bool = False, steps: int = 1
  ) -> Stages:
    """Features of images that are normalised as the weights expect."""
    check_fields(self.variant, VARIANTS, self.output_stride, self.frozen)
    stem = ConvNorm(
      _narrow(_STEM, self.width),
      3,
      stride=2,
      lineage="tensorflow",
      execution=self.execution,
      name="stem",
    )
    x = nn.relu6(stem(x, train=train and "stem" not in self.frozen, steps=steps))
    x = stop_gradient(x, "stem", self.frozen)
    features = {"stem": x / DEVIATIONS["stem"]}
    blocks = block_shapes(self.variant, self.width, self.output_stride)
    for name in STAGES[1:]:
      stage = Stage(blocks[name], self.execution, name=name)
      x = stage(x, train=train and name not in self.frozen, steps=steps)
      x = stop_gradient(x, name, self.frozen)
      features[name] = x / DEVIATIONS[name]
    return Stages(**features)

  def normalise(self, frames: Float[AnyArray, "n h w 3"]) -> Float[Array, "n h w 3"]:
    """RGB in [0, 1] to what the published weights expect."""
    return (jnp.asarray(frames) * 255 - 127) / 128
