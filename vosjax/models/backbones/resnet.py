"""ResNet 18 to 152 with dilation instead of late strides.

Source: He et al., CVPR 2016; the stride of a downsampling bottleneck sits on its
3x3 convolution, as in torchvision.
"""

from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from vosjax.models.modules.conv import Dtype
from vosjax.models.modules.norm import ConvNorm
from vosjax.ops import resize
from vosjax.types import AnyArray, record

BLOCKS = {
  "resnet18": (2, 2, 2, 2),
  "resnet34": (3, 4, 6, 3),
  "resnet50": (3, 4, 6, 3),
  "resnet101": (3, 4, 23, 3),
  "resnet152": (3, 8, 36, 3),
}
_BASIC = ("resnet18", "resnet34")
STAGES = ("stem", "stage1", "stage2", "stage3", "stage4")


@record
class Stages:
  """What each stage of a ResNet gives, after its last ReLU.

  `stem` is at half the image's size (before the max-pool), `stage1` at a quarter,
  `stage2` at an eighth; `stage3` and `stage4` depend on the output stride.
  """

  stem: Float[Array, "n h2 w2 c0"]
  stage1: Float[Array, "n h4 w4 c1"]
  stage2: Float[Array, "n h8 w8 c2"]
  stage3: Float[Array, "n h16 w16 c3"]
  stage4: Float[Array, "n h32 w32 c4"]


def stage_channels(name: str, width: int = 64) -> tuple[int, int, int, int]:
  """Channels of stage1 to stage4."""
  expansion = 1 if name in _BASIC else 4
  return tuple(width * expansion * 2**i for i in range(4))


class Block(nn.Module):
  """A residual block: two 3x3 convolutions, or a bottleneck 1x1 - 3x3 - 1x1.

  Attributes:
    features: channels of its 3x3 convolutions.
    first_dilation: of the convolution that could carry a stride.
    dilation: of all other 3x3 convolutions.
    stride_on_1x1: a bottleneck's stride sits on its first 1x1 (Caffe).
  """

  features: int
  bottleneck: bool
  stride: int
  first_dilation: int
  dilation: int
  project: bool
  stride_on_1x1: bool = False
  folded: bool = False
  axis_name: str | None = None
  dtype: Dtype = None

  @nn.compact
  def __call__(
    self, x: Float[Array, "n h w c"], train: bool, steps: int
  ) -> Float[Array, "n height width d"]:
    def unit(name, features, size, stride=1, dilation=1):
      module = ConvNorm(
        features,
        size,
        stride,
        dilation,
        self.folded,
        self.axis_name,
        self.dtype,
        name=name,
      )
      return lambda y: module(y, train=train, steps=steps)

    out = self.features * (4 if self.bottleneck else 1)
    if self.bottleneck:
      strides = (self.stride, 1) if self.stride_on_1x1 else (1, self.stride)
      y = nn.relu(unit("conv1", self.features, 1, strides[0])(x))
      y = unit("conv2", self.features, 3, strides[1], self.first_dilation)(y)
      y = unit("conv3", out, 1)(nn.relu(y))
    else:
      y = unit("conv1", out, 3, self.stride, self.first_dilation)(x)
      y = unit("conv2", out, 3, 1, self.dilation)(nn.relu(y))
    shortcut = unit("shortcut", out, 1, self.stride)(x) if self.project else x
    return nn.relu(y + shortcut)


class Stage(nn.Module):
  """Consecutive blocks of one width; the first may stride or project."""

  num_blocks: int
  features: int
  bottleneck: bool
  stride: int
  first_dilation: int
  dilation: int
  stride_on_1x1: bool = False
  remat: bool = False
  folded: bool = False
  axis_name: str | None = None
  dtype: Dtype = None

  @nn.compact
  def __call__(
    self, x: Float[Array, "n h w c"], *, train: bool, steps: int
  ) -> Float[Array, "n height width d"]:
    block = nn.remat(Block, static_argnums=(2, 3)) if self.remat else Block
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
        folded=self.folded,
        axis_name=self.axis_name,
        dtype=self.dtype,
        name=f"block{i}",
      )(x, train, steps)
    return x


class ResNet(nn.Module):
  """A ResNet without its classifier; returns all stages.

  Attributes:
    variant: one of BLOCKS.
    width: channels of the stem; 64 in all published weights.
    output_stride: 8, 16 or 32; late strides give way to dilation.
    lineage: "torchvision": the stride sits on the 3x3, the first block of a dilated
      stage keeps the dilation of the stage before, pooled sizes round down.
      "caffe" (DeepLab): the stride sits on the first 1x1, every block of a stage is
      dilated, pooled sizes round up.
    frozen: stages whose BatchNorm always uses running statistics; no gradient is
      computed for those that come before every trained stage.
    remat: recompute blocks in the backward pass instead of keeping them.
    folded: the variables come from `fold`.
  """

  variant: str = "resnet101"
  width: int = 64
  output_stride: int = 16
  lineage: Literal["torchvision", "caffe"] = "torchvision"
  frozen: tuple[str, ...] = ()
  remat: bool = False
  folded: bool = False
  axis_name: str | None = None
  dtype: Dtype = None

  @nn.compact
  def __call__(
    self, x: Float[Array, "n h w 3"], *, train: bool = False, steps: int = 1
  ) -> Stages:
    """Runs the network on images normalised as its weights expect."""
    self._check()
    caffe = self.lineage == "caffe"
    common = {"folded": self.folded, "axis_name": self.axis_name, "dtype": self.dtype}
    stem = ConvNorm(self.width, 7, stride=2, name="stem", **common)
    x = nn.relu(stem(x, train=train and "stem" not in self.frozen, steps=steps))
    taps = {"stem": self._cut(x, "stem")}
    x = resize.max_pool_3x3(taps["stem"], ceil=caffe)
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
        remat=self.remat and train,
        name=name,
        **common,
      )(x, train=train and name not in self.frozen, steps=steps)
      x = taps[name] = self._cut(x, name)
    return Stages(**taps)

  def _cut(self, x, stage):
    """Stops the gradient behind a stage if nothing up to it is trained."""
    upto = STAGES[: STAGES.index(stage) + 1]
    return jax.lax.stop_gradient(x) if set(upto) <= set(self.frozen) else x

  def _check(self):
    if self.variant not in BLOCKS:
      raise ValueError(f"backbone {self.variant!r} is unknown; known: {list(BLOCKS)}.")
    if self.output_stride not in (8, 16, 32):
      raise ValueError(f"output_stride must be 8, 16 or 32, not {self.output_stride}.")
    unknown = sorted(set(self.frozen) - set(STAGES))
    if unknown:
      raise ValueError(f"frozen names {unknown}, which are no stages; known: {STAGES}.")


IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def normalise(frames: Float[AnyArray, "n h w 3"]) -> Float[Array, "n h w 3"]:
  """RGB in [0, 1] to what torchvision's ImageNet weights expect."""
  mean, std = (jnp.array(x)[None, None, None] for x in (IMAGENET_MEAN, IMAGENET_STD))
  return (frames - mean) / std
