"""Convolutions over a concatenation whose parts live at different rates."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from vosjax.models.modules.norm import Dtype


class SplitConv(nn.Module):
  """A convolution over concatenated inputs, applied to one of them at a time.

  A convolution is linear, so what all objects share, or what never changes, is
  convolved once and the results are added; the sum over all parts plus the bias
  equals the convolution of the concatenation.

  Attributes:
    parts: channels of each input, in the order of the concatenation.
    features: channels of the result.
    size: rows and columns of the kernel; odd, with zero padding.
  """

  parts: tuple[int, ...]
  features: int
  size: int = 1
  dtype: Dtype = None

  def setup(self):
    shape = (self.size, self.size, sum(self.parts), self.features)
    self.kernel = self.param("kernel", nn.initializers.he_uniform(), shape)
    self.bias = self.param("bias", nn.initializers.zeros, (self.features,))

  def __call__(
      self,
      x: Float[Array, "n h w c"],
      part: int,
      *,
      bias: bool = False,
      dtype: Dtype = None,
  ) -> Float[Array, "n h w d"]:
    """Convolves input number `part`; `bias` adds the bias to this summand."""
    start = sum(self.parts[:part])
    kernel = self.kernel[:, :, start : start + self.parts[part]]
    dtype = dtype or self.dtype or x.dtype
    y = jax.lax.conv_general_dilated(
        x.astype(dtype),
        kernel.astype(dtype),
        (1, 1),
        "SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    return y + self.bias.astype(y.dtype) if bias else y


class BinaryHead(nn.Module):
  """Two scores per pixel, object after background, given as their difference.

  A softmax over two scores depends on nothing else, so half the work is enough.
  """

  size: int

  @nn.compact
  def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h w"]:
    shape = (self.size, self.size, x.shape[-1], 2)
    kernel = self.param("kernel", nn.initializers.he_uniform(), shape)
    bias = self.param("bias", nn.initializers.zeros, (2,))
    logits = jax.lax.conv_general_dilated(
        x.astype(jnp.float32),
        kernel[..., 1:] - kernel[..., :1],
        (1, 1),
        "SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    return logits[..., 0] + (bias[1] - bias[0])


def conv(features: int, size: int, dilation: int = 1, dtype: Dtype = None) -> nn.Conv:
  """Convolution with bias, zero padding and the initialisation of A-GAME's heads."""
  return nn.Conv(
      features,
      (size, size),
      kernel_dilation=dilation,
      padding="SAME",
      kernel_init=nn.initializers.he_uniform(),
      dtype=dtype,
  )
