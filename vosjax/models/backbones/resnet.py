"""ResNets 18 to 152, with dilation in place of late strides.

Source: He et al., CVPR 2016; the stride of a downsampling bottleneck sits on its
3x3 convolution, as in torchvision.
"""

import functools
from typing import Any, Literal

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
from vosjax.ops import resize
from vosjax.types import AnyArray

BLOCKS = {
  "resnet18": (2, 2, 2, 2),
  "resnet34": (3, 4, 6, 3),
  "resnet50": (3, 4, 6, 3),
  "resnet101": (3, 4, 23, 3),
  "resnet152": (3, 8, 36, 3),
}
_BASIC = ("resnet18", "resnet34")


def stage_channels(name: str, width: int = 64) -> tuple[int, int, int, int]:
  """Channels of stage1 to stage4."""
  first = width * (1 if name in _BASIC else 4)
  return first, 2 * first, 4 * first, 8 * first


class Block(nn.Module):
  """A residual block: two 3x3 convolutions, or a bottleneck 1x1 - 3x3 - 1x1.

  Attributes:
    features: channels of its 3x3 convolutions.
    bottleneck: use a bottleneck.
    stride: of the block.
    first_dilation: of the first 3x3 convolution, which is a bottleneck's only one.
    dilation: of the second 3x3 convolution of a basic block.
    project: the shortcut is a 1x1 convolution.
    stride_on_1x1: the stride of a bottleneck is that of its first 1x1 (Caffe).
    execution: how the network is executed, see Execution.
  """

  features: int
  bottleneck: bool
  stride: int
  first_dilation: int
  dilation: int
  project: bool
  stride_on_1x1: bool = False
  execution: Execution = Execution()

  @nn.compact
  def __call__(
    self, x: Float[Array, "n h w c"], train: bool, steps: int
  ) -> Float[Array, "n height width d"]:
    unit = functools.partial(ConvNorm, execution=self.execution)
    mode: dict[str, Any] = {"train": train, "steps": steps}
    out = self.features * (4 if self.bottleneck else 1)
    if self.bottleneck:
      strides = (self.stride, 1) if self.stride_on_1x1 else (1, self.stride)
      y = nn.relu(unit(self.features, 1, strides[0], name="conv1")(x, **mode))
      dilation = self.first_dilation
      y = unit(self.features, 3, strides[1], dilation, name="conv2")(y, **mode)
      y = unit(out, 1, name="conv3")(nn.relu(y), **mode)
    else:
      y = unit(out, 3, self.stride, self.first_dilation, name="conv1")(x, **mode)
      y = unit(out, 3, 1, self.dilation, name="conv2")(nn.relu(y), **mode)
    if self.project:
      x = unit(out, 1, self.stride, name="shortcut")(x, **mode)
    return nn.relu(y + x)


class Stage(nn.Module):
  """Consecutive blocks of one width; the first may stride or project, see Block."""

  num_blocks: int
  features: int
  bottleneck: bool
  stride: int
  first_dilation: int
  dilation: int
  stride_on_1x1: bool = False
  execution: Execution = Execution()

  @nn.compact
  def __call__(
    self, x: Float[Array, "n h w c"], *, train: bool, steps: int
  ) -> Float[Array, "n height width d"]:
    remat = self.execution.remat
    block = nn.remat(Block, static_argnums=(2, 3)) if remat else Block
    out = self.features * (4 if self.bottleneck else 1)
    for i in range(self.num_blocks):
      stride = self.stride if i == 0 else 1
      x = block(
        features=self.features,
        bottleneck=self.bottleneck,
        stride=stride,
        first_dilation=self.first_dilation if i == 0 else self.dilation,
        dilation=self.dilation,
        project=i == 0 and (stride > 1 or x.shape[-1] != out),
        stride_on_1x1=self.stride_on_1x1,
        execution=self.execution,
        name=f"block{i}",
      )(x, train, steps)
    return x


class ResNet(nn.Module):
  """A ResNet without its classifier; returns all stages, each after its last ReLU.

  The stem is returned before the max-pool.

  Attributes:
    variant: one of BLOCKS.
    width: channels of the stem; 64 in all published weights.
    output_stride: 8, 16 or 32; later strides are replaced by dilation.
    lineage: "torchvision": the stride is on the 3x3, the first block of a dilated
      stage keeps the dilation of the previous stage, and pooled sizes round down.
      "caffe" (DeepLab): the stride is on the first 1x1, every block of a stage is
      dilated, and pooled sizes round up.
    frozen: stages whose BatchNorm always uses running statistics; no gradient is
      computed for those before the first trained stage.
    execution: how the network is executed, see Execution.
  """

  variant: str = "resnet101"
  width: int = 64
  output_stride: int = 16
  lineage: Literal["torchvision", "caffe"] = "torchvision"
  frozen: tuple[str, ...] = ()
  execution: Execution = Execution()

  @nn.compact
  def __call__(
    self, x: Float[Array, "n h w 3"], *, train: bool = False, steps: int = 1
  ) -> Stages:
    """Features of images that are normalised as the weights expect."""
    check_fields(self.variant, BLOCKS, self.output_stride, self.frozen)
    caffe = self.lineage == "caffe"
    stem = ConvNorm(self.width, 7, stride=2, execution=self.execution, name="stem")
    x = nn.relu(stem(x, train=train and "stem" not in self.frozen, steps=steps))
    features = {"stem": stop_gradient(x, "stem", self.frozen)}
    x = resize.max_pool_3x3(features["stem"], ceil=caffe)
    stride, dilation = 4, 1
    for i, num_blocks in enumerate(BLOCKS[self.variant]):
      name = STAGES[i + 1]
      previous = dilation
      step = 1 if i == 0 else 2
      if step == 2 and stride >= self.output_stride:
        step, dilation = 1, dilation * 2
      stride *= step
      x = Stage(
        num_blocks=num_blocks,
        features=self.width * 2**i,
        bottleneck=self.variant not in _BASIC,
        stride=step,
        first_dilation=dilation if caffe else previous,
        dilation=dilation,
        stride_on_1x1=caffe,
        execution=self.execution,
        name=name,
      )(x, train=train and name not in self.frozen, steps=steps)
      x = features[name] = stop_gradient(x, name, self.frozen)
    return Stages(**features)

  def normalise(self, frames: Float[AnyArray, "n h w 3"]) -> Float[Array, "n h w 3"]:
    """RGB in [0, 1] to what weights of this lineage expect."""
    return (normalise_caffe if self.lineage == "caffe" else normalise)(frames)


# Mean of the RGB channels, 0 to 255, with which Caffe trained the released weights.
CAFFE_MEAN = (122.67892, 116.66877, 104.00699)
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def normalise(frames: Float[AnyArray, "n h w 3"]) -> Float[Array, "n h w 3"]:
  """RGB in [0, 1] to what torchvision's ImageNet weights expect."""
  mean, std = (jnp.array(x)[None, None, None] for x in (IMAGENET_MEAN, IMAGENET_STD))
  return (jnp.asarray(frames) - mean) / std


def normalise_caffe(frames: Float[AnyArray, "n h w 3"]) -> Float[Array, "n h w 3"]:
  """RGB in [0, 1] to what Caffe's weights expect: BGR, 0 to 255, minus the mean."""
  mean = jnp.array(CAFFE_MEAN)[None, None, None]
  return (jnp.asarray(frames) * 255 - mean)[..., ::-1]
