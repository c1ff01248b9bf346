"""FCN-8s features: a network with two skip connections, at stride 8."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from vosjax.models.backbones.registry import build_backbone
from vosjax.models.backbones.resnet import normalise
from vosjax.models.backbones.stages import STAGES
from vosjax.models.execution import Execution
from vosjax.models.modules.conv import Conv
from vosjax.ops import resize
from vosjax.types import AnyArray

_STAGES = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))  # channels, convolutions
_FC_CHANNELS, _FC_SIZE = 4096, 7
_PADDING = 100  # around the image, so that fc6 covers its border


class VGG(nn.Module):
  """VGG-16 without its last layer; returns pool3, pool4 and fc7.

  The dropout after fc6 and fc7 is omitted: RIS is trained on a frozen VGG.
  """

  execution: Execution = Execution()

  @nn.compact
  def __call__(self, x: Float[Array, "n h w 3"]) -> tuple[Float[Array, "..."], ...]:
    pools = []
    for stage, (channels, count) in enumerate(_STAGES, 1):
      for i in range(1, count + 1):
        x = nn.relu(
          Conv(channels, 3, dtype=self.execution.dtype, name=f"conv{stage}_{i}")(x)
        )
      x = resize.max_pool_2x2(x)  # the last window may be cut, as in Caffe
      pools.append(x)
    x = Conv(_FC_CHANNELS, _FC_SIZE, dtype=self.execution.dtype, name="fc6")(x)
    edge = _FC_SIZE // 2  # fc6 has no padding
    x = nn.relu(x[:, edge:-edge, edge:-edge])
    x = nn.relu(Conv(_FC_CHANNELS, 1, dtype=self.execution.dtype, name="fc7")(x))
    return pools[2], pools[3], x


class FCN8(nn.Module):
  """Features at stride 8, as RIS reads them for people.

  Frames are normalised for torchvision's VGG-16, whose weights `vosjax convert vgg`
  converts; the program has Caffe's, which expect blue, green and red from 0 to 255,
  minus their means.

  Scores of fc7 are upsampled by two, added to those of pool4, upsampled again and
  added to those of pool3. Images of 500 x 500 result in 64 x 64 positions, as
  published; for other sizes both terms of a sum are cropped about their centres to
  the smaller size.

  Attributes:
    channels: of the features; the "classes" of the FCN.
    execution: how the network is executed, see Execution.

  Source: Long et al., CVPR 2015; the sizes are those of RIS's program.
  """

  channels: int = 100
  execution: Execution = Execution()

  @nn.compact
  def __call__(self, frames: Float[AnyArray, "n h w 3"]) -> Float[Array, "n y x c"]:
    x = normalise(jnp.asarray(frames))
    border = (_PADDING - 1, _PADDING - 1)  # the first convolution adds one
    x = jnp.pad(x, ((0, 0), border, border, (0, 0)))
    # VGG is not trained, so no time is spent on its gradient.
    pool3, pool4, fc7 = jax.lax.stop_gradient(VGG(self.execution, name="vgg")(x))

    def score(x: Array, name: str) -> Array:
      return Conv(self.channels, 1, dtype=self.execution.dtype, name=name)(x)

    x = _add(_double(score(fc7, "score7")), score(pool4, "score4"))
    return _add(_double(x), score(pool3, "score3"))


class BackboneFCN8(nn.Module):
  """Features at stride 8, as FCN-8s makes them of VGG-16, from another backbone.

  Scores of stage4 are upsampled to the size of stage3 and added to its scores, and
  so on to stage2. As with FCN8, the backbone is not trained.

  Attributes:
    backbone: one of BACKBONES.
    channels: of the features.
    execution: how the network is executed, see Execution.
  """

  backbone: str
  channels: int
  execution: Execution = Execution()

  @nn.compact
  def __call__(self, frames: Float[AnyArray, "n h w 3"]) -> Float[Array, "n y x c"]:
    network = build_backbone(
      self.backbone,
      width=64,
      output_stride=32,
      execution=self.execution,
      frozen=STAGES,
      name="backbone",
    )
    stages = network(network.normalise(frames))
    score = functools.partial(Conv, self.channels, 1, dtype=self.execution.dtype)
    x = score(name="score4")(stages.stage4)
    for name, finer in (("score3", stages.stage3), ("score2", stages.stage2)):
      size = finer.shape[1], finer.shape[2]
      x = resize.bilinear(x, size) + score(name=name)(finer)
    return x


def centre(
  x: Float[Array, "n h w c"], size: tuple[int, int]
) -> Float[Array, "n height width c"]:
  """The central crop of maps that are at least as large as `size`."""
  top, left = ((old - new) // 2 for old, new in zip(x.shape[1:3], size))
  return x[:, top : top + size[0], left : left + size[1]]


def _double(x: Array) -> Array:
  return resize.bilinear(x, (2 * x.shape[1], 2 * x.shape[2]))


def _add(a: Array, b: Array) -> Array:
  """Sum of the central parts that both maps share."""
  size = min(a.shape[1], b.shape[1]), min(a.shape[2], b.shape[2])
  return centre(a, size) + centre(b, size)
