"""Convolutions: plain, over concatenations, and the two-score head."""

import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from vosjax.ops import winograd
from vosjax.types import AnyArray

Dtype = Any  # a NumPy dtype, or None for that of the input
WINOGRAD = "winograd"  # parameter that inference may add beside a kernel
MIN_CHANNELS = 256  # narrower layers gain nothing from Winograd's form on CPU


def centred(share: float) -> Callable[..., Any]:
  """He's initializer with `share` of the variance in the middle of the kernel.

  Several layers of it still see a place, where several of He's see its surroundings.
  """

  def init(key, shape, dtype=jnp.float32):
    kernel = nn.initializers.he_uniform()(key, shape, dtype)
    rows, columns = shape[:2]
    if rows * columns == 1:
      return kernel
    scale = np.full((rows, columns), (1 - share) / (rows * columns - 1), np.float32)
    scale[rows // 2, columns // 2] = share
    return kernel * np.sqrt(rows * columns * scale)[:, :, None, None]

  return init


class Conv(nn.Module):
  """Square convolution with zero padding, the same on all sides.

  Where inference has added a transformed kernel (see `fold`), that one is used.

  Attributes:
    size: rows and columns of the kernel; odd.
  """

  features: int
  size: int
  stride: int = 1
  dilation: int = 1
  use_bias: bool = True
  kernel_init: Callable[..., Any] = nn.initializers.he_uniform()
  precision: jax.lax.Precision | None = None
  dtype: Dtype = None

  @nn.compact
  def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n height width d"]:
    shape = (self.size, self.size, x.shape[-1], self.features)
    kernel = self.param("kernel", self.kernel_init, shape)
    if self.stride == 1 and self.has_variable("params", WINOGRAD):
      y = winograd.convolve(x, self.get_variable("params", WINOGRAD), self.dilation)
      y = y.astype(self.dtype or x.dtype)
    else:
      y = convolve(x, kernel, self.stride, self.dilation, self.dtype, self.precision)
    if not self.use_bias:
      return y
    bias = self.param("bias", nn.initializers.zeros, (self.features,))
    return y + bias.astype(y.dtype)[None, None, None]


class SplitConv(nn.Module):
  """A convolution over concatenated inputs, applied to one of them at a time.

  A convolution is linear, so what all objects share, or what never changes, is
  convolved once and the results are added; the sum over all parts plus the bias
  equals the convolution of the concatenation.

  Attributes:
    parts: channels of each input, in the order of the concatenation.
    features: channels of the result.
    size: rows and columns of the kernel; odd, with zero padding.
    gains: factor on each part's initial kernel; all 1 if empty.
    bias_init: initializer of the bias.
    kernel_init: initializer of the kernel, before the gains.
  """

  parts: tuple[int, ...]
  features: int
  size: int = 1
  gains: tuple[float, ...] = ()
  dtype: Dtype = None
  bias_init: Callable[..., Any] = nn.initializers.zeros
  kernel_init: Callable[..., Any] = nn.initializers.he_uniform()

  def setup(self):
    shape = (self.size, self.size, sum(self.parts), self.features)
    self.kernel = self.param("kernel", self._init, shape)
    self.bias = self.param("bias", self.bias_init, (self.features,))

  def _init(self, key, shape):
    kernel = self.kernel_init(key, shape)
    if not self.gains:
      return kernel
    factors = np.repeat(np.array(self.gains, np.float32), self.parts)
    return kernel * factors[None, None, :, None]

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
    channels = slice(start, start + self.parts[part])
    dtype = dtype or self.dtype or x.dtype
    if self.parts[part] >= MIN_CHANNELS and self.has_variable("params", WINOGRAD):
      kernel = self.get_variable("params", WINOGRAD)
      y = winograd.convolve(x, kernel[:, channels]).astype(dtype)
    else:
      y = convolve(x, self.kernel[:, :, channels], dtype=dtype)
    return y + self.bias.astype(y.dtype)[None, None, None] if bias else y


class BinaryHead(nn.Module):
  """Two scores per pixel, object after background, given as their difference.

  A softmax over two scores depends on nothing else, so half the work is enough.
  """

  size: int
  kernel_init: Callable[..., Any] = nn.initializers.he_uniform()

  @nn.compact
  def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h w"]:
    shape = (self.size, self.size, x.shape[-1], 2)
    kernel = self.param("kernel", self.kernel_init, shape)
    bias = self.param("bias", nn.initializers.zeros, (2,))
    logits = convolve(x, kernel[..., 1:] - kernel[..., :1], dtype=jnp.float32)
    return logits[..., 0] + (bias[1] - bias[0])


def convolve(
  x: Float[Array, "n h w c"],
  kernel: Float[AnyArray, "size size c d"],
  stride: int = 1,
  dilation: int = 1,
  dtype: Dtype = None,
  precision: jax.lax.Precision | None = None,
) -> Float[Array, "n height width d"]:
  """Convolution with zero padding of half the kernel's reach on each side.

  Forward mode (`jax.jvp`) is not there for stride 1 on CPU, see `_convolve_on_cpu`.
  """
  dtype = dtype or x.dtype
  x, kernel = x.astype(dtype), kernel.astype(dtype)
  if stride == 1 and jax.default_backend() == "cpu":
    return _convolve_on_cpu(x, kernel, dilation, precision)
  reach = dilation * (kernel.shape[0] // 2)
  return _correlate(x, kernel, reach, precision, stride=stride, dilation=dilation)


def _correlate(x, kernel, reach, precision, *, stride=1, dilation=1):
  return jax.lax.conv_general_dilated(
    x,
    kernel,
    (stride, stride),
    ((reach, reach), (reach, reach)),
    rhs_dilation=(dilation, dilation),
    dimension_numbers=("NHWC", "HWIO", "NHWC"),
    precision=precision,
  )


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _convolve_on_cpu(x, kernel, dilation, precision):
  """A convolution whose gradient is fast within a scan, too.

  XLA's CPU compiler has fast code for convolutions with channels last and brings
  others into this form, but only outside of loops (its pass ConvCanonicalization
  visits the entry computation alone). The gradients that JAX derives are of other
  forms: in the body of a scan they ran 14 to 30 times slower (a ConvLSTM of 16
  channels at 32x56: 651 ms unchanged, 45 ms in this form, 29 to 33 ms unrolled). So
  the gradients are written here with channels last and explicit transposes.
  """
  reach = dilation * (kernel.shape[0] // 2)
  return _correlate(x, kernel, reach, precision, dilation=dilation)


def _convolve_forward(x, kernel, dilation, precision):
  return _convolve_on_cpu(x, kernel, dilation, precision), (x, kernel)


def _convolve_backward(dilation, precision, saved, dy):
  x, kernel = saved
  reach = dilation * (kernel.shape[0] // 2)
  back = kernel[::-1, ::-1].swapaxes(2, 3)
  dx = _correlate(dy, back, reach, precision, dilation=dilation)
  # The images are the channels of this one, and it takes steps of the dilation.
  x, dy = x.transpose(3, 1, 2, 0), dy.transpose(1, 2, 0, 3)
  dkernel = _correlate(x, dy, reach, precision, stride=dilation)
  return dx, dkernel.transpose(1, 2, 0, 3)


_convolve_on_cpu.defvjp(_convolve_forward, _convolve_backward)
