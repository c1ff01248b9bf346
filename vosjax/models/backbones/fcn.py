"""FCN-8s features: VGG-16 made convolutional, with two skip connections."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from vosjax.models.backbones.resnet import normalise
from vosjax.models.modules.conv import Conv, Dtype
from vosjax.ops import resize
from vosjax.types import AnyArray

_STAGES = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))  # channels, convolutions
_FC_CHANNELS, _FC_SIZE = 4096, 7
_PADDING = 100  # around the picture, so that fc6 sees all of it


class VGG(nn.Module):
  """VGG-16 without its classifier: pool3, pool4 and fc7.

  The dropout behind fc6 and fc7 is left out: the program trains RIS on a VGG that
  stays as it is.
  """

  dtype: Dtype = None

  @nn.compact
  def __call__(self, x: Float[Array, "n h w 3"]) -> tuple[Float[Array, "..."], ...]:
    pools = []
    for stage, (channels, count) in enumerate(_STAGES, 1):
      for i in range(1, count + 1):
        x = nn.relu(Conv(channels, 3, dtype=self.dtype, name=f"conv{stage}_{i}")(x))
      x = resize.max_pool_2x2(x)  # the last window may hang over, as in Caffe
      pools.append(x)
    x = Conv(_FC_CHANNELS, _FC_SIZE, dtype=self.dtype, name="fc6")(x)
    edge = _FC_SIZE // 2  # fc6 has no padding
    x = nn.relu(x[:, edge:-edge, edge:-edge])
    x = nn.relu(Conv(_FC_CHANNELS, 1, dtype=self.dtype, name="fc7")(x))
    return pools[2], pools[3], x


class FCN8(nn.Module):
  """Features at stride 8, as RIS reads them for people.

  Frames are normalised as torchvision's VGG-16 expects, whose weights
  `vosjax convert vgg` brings; the program has Caffe's, which were trained on blue,
  green and red from 0 to 255, less their means.

  Scores of fc7 are doubled in size, added to those of pool4, doubled again and added
  to those of pool3. Pictures of 500 x 500 give 64 x 64 positions, as published; those
  of other sizes as many as both sides of an addition share, about their centres.

  Attributes:
    channels: of the features; as many "classes" for the FCN.

  Source: Long et al., CVPR 2015; the sizes are those of RIS's program.
  """

  channels: int = 100
  dtype: Dtype = None

  @nn.compact
  def __call__(self, frames: Float[AnyArray, "n h w 3"]) -> Float[Array, "n y x c"]:
    x = normalise(jnp.asarray(frames))
    border = (_PADDING - 1, _PADDING - 1)  # the first convolution adds one
    x = jnp.pad(x, ((0, 0), border, border, (0, 0)))
    # It is not trained, and no time is spent on its gradient.
    pool3, pool4, fc7 = jax.lax.stop_gradient(VGG(self.dtype, name="vgg")(x))

    def score(x, name):
      return Conv(self.channels, 1, dtype=self.dtype, name=name)(x)

    x = _add(_double(score(fc7, "score7")), score(pool4, "score4"))
    return _add(_double(x), score(pool3, "score3"))


def centre(
  x: Float[Array, "n h w c"], size: tuple[int, int]
) -> Float[Array, "n height width c"]:
  """The middle of maps that are at least as large as `size`."""
  top, left = ((old - new) // 2 for old, new in zip(x.shape[1:3], size))
  return x[:, top : top + size[0], left : left + size[1]]


def _double(x):
  return resize.bilinear(x, (2 * x.shape[1], 2 * x.shape[2]))


def _add(a, b):
  size = tuple(min(sides) for sides in zip(a.shape[1:3], b.shape[1:3]))
  return centre(a, size) + centre(b, size)
