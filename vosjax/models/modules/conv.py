"""Convolutions: plain, depthwise, over concatenated inputs, and the binary head."""

import functools
from collections.abc import Callable
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Array, Float

from vosjax.models.execution import Dtype
from vosjax.ops import depthwise, winograd
from vosjax.types import AnyArray

WINOGRAD = "winograd"  # a parameter beside a kernel, added by `fold`
Padding = Literal["equal", "same"]
MIN_CHANNELS = 256  # narrower layers do not gain from Winograd's form on CPU


def centred(share: float) -> Callable[..., Any]:
  """He initialisation with a `share` of the variance at the kernel's centre.

  Stacked layers then stay local; with plain He initialisation they blur into their
  surroundings.
  """

  def init(key: Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
    kernel = nn.initializers.he_uniform()(key, shape, dtype)
    rows, columns = shape[:2]
    if rows * columns == 1:
      return kernel
    scale = np.full((rows, columns), (1 - share) / (rows * columns - 1), np.float32)
    scale[rows // 2, columns // 2] = share
    return kernel * np.sqrt(rows * columns * scale)[:, :, None, None]

  return init


class Conv(nn.Module):
  """Square convolution with zero padding.

  If `fold` has added a transformed kernel for Winograd's form, that one is used.

  Attributes:
    features: channels of the result.
    size: rows and columns of the kernel; odd.
    stride: of the convolution.
    dilation: of the kernel.
    use_bias: add a bias.
    kernel_init: initialiser of the kernel.
    precision: of the products.
    dtype: of operands and result; None: that of the input.
    padding: "equal": by half of the dilated kernel on all sides; "same": TensorFlow's,
      which differs with a stride and divides sizes rounding up.
  """

  features: int
  size: int
  stride: int = 1
  dilation: int = 1
  use_bias: bool = True
  kernel_init: Callable[..., Any] = nn.initializers.he_uniform()
  precision: jax.lax.Precision | None = None
  dtype: Dtype = None
  padding: Padding = "equal"

  @nn.compact
  def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n height width d"]:
    shape = (self.size, self.size, x.shape[-1], self.features)
    kernel = self.param("kernel", self.kernel_init, shape)
    if self.stride == 1 and self.has_variable("params", WINOGRAD):
      y = winograd.convolve(x, self.get_variable("params", WINOGRAD), self.dilation)
      y = y.astype(self.dtype or x.dtype)
    else:
      y = convolve(
        x,
        kernel,
        self.stride,
        self.dilation,
        self.dtype,
        self.precision,
        self.padding,
      )
    if not self.use_bias:
      return y
    bias = self.param("bias", nn.initializers.zeros, (self.features,))
    return y + bias.astype(y.dtype)[None, None, None]


class DepthwiseConv(nn.Module):
  """Convolution of each channel by a kernel of its own, with SAME padding.

  Attributes:
    size: rows and columns of the kernel.
    stride: of the convolution.
    dilation: of the kernel.
    use_bias: add a bias.
    dtype: of operands and result; None: that of the input.
  """

  size: int
  stride: int = 1
  dilation: int = 1
  use_bias: bool = True
  dtype: Dtype = None

  @nn.compact
  def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n height width c"]:
    # A position of the result depends on one channel only, which is the fan-in.
    init = nn.initializers.variance_scaling(2.0, "fan_in", "normal")
    kernel = self.param("kernel", init, (self.size, self.size, 1, x.shape[-1]))
    dtype = self.dtype or x.dtype
    x, kernel = x.astype(dtype), kernel.astype(dtype)
    y = depthwise.convolve(x, kernel, self.stride, self.dilation)
    if not self.use_bias:
      return y
    bias = self.param("bias", nn.initializers.zeros, (x.shape[-1],))
    return y + bias.astype(y.dtype)[None, None, None]


class SplitConv(nn.Module):
  """A convolution over concatenated inputs, applied to one of them at a time.

  A convolution is linear: the sum of the contributions of all inputs, plus the bias,
  equals the convolution of their concatenation. So an input that all objects share, or
  that never changes, is convolved only once.

  Attributes:
    parts: channels of each input, in the order of the concatenation.
    features: channels of the result.
    size: rows and columns of the kernel; odd, with zero padding.
    gains: factor on the initial kernel of each input; all 1 if empty.
    dtype: of operands and result; None: that of the input.
    bias_init: initialiser of the bias.
    kernel_init: initialiser of the kernel, before the gains.
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

  def _init(self, key: Array, shape: tuple[int, ...]) -> Array:
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
    """Contribution of input number `part`; `bias` adds the bias to it."""
    start = sum(self.parts[:part])
    channels = slice(start, start + self.parts[part])
    dtype = dtype or self.dtype or x.dtype
    if self.parts[part] >= MIN_CHANNELS and self.has_variable("params", WINOGRAD):
      transformed: Array = self.get_variable("params", WINOGRAD)
      y = winograd.convolve(x, transformed[:, channels]).astype(dtype)
    else:
      y = convolve(x, self.kernel[:, :, channels], dtype=dtype)
    return y + self.bias.astype(y.dtype)[None, None, None] if bias else y


class BinaryHead(nn.Module):
  """Convolution to a logit, from weights for a score of background and of object.

  A softmax over two scores depends only on their difference, so the difference of the
  kernels is all that is convolved.
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
  padding: Padding = "equal",
) -> Float[Array, "n height width d"]:
  """Convolution with zero padding, which `Conv` explains."""
  dtype = dtype or x.dtype
  x, kernel = x.astype(dtype), kernel.astype(dtype)
  if stride == 1:
    return _convolve(x, kernel, dilation, precision)
  return _correlate(
    x,
    kernel,
    stride=stride,
    dilation=dilation,
    precision=precision,
    padding="SAME" if padding == "same" else None,
  )


def _correlate(
  x: AnyArray,
  kernel: AnyArray,
  *,
  stride: int = 1,
  dilation: int = 1,
  precision: jax.lax.Precision | None,
  padding: int | Literal["SAME"] | None = None,
  layouts: tuple[str, str, str] = ("NHWC", "HWIO", "NHWC"),
) -> Array:
  """Cross-correlation; pads by half the dilated kernel unless told otherwise."""
  if padding is None:
    padding = dilation * (kernel.shape[0] // 2)
  return jax.lax.conv_general_dilated(
    jnp.asarray(x),
    jnp.asarray(kernel),
    (stride, stride),
    padding if padding == "SAME" else ((padding, padding),) * 2,
    rhs_dilation=(dilation, dilation),
    dimension_numbers=layouts,
    precision=precision,
  )


@functools.partial(jax.custom_jvp, nondiff_argnums=(2, 3))
def _convolve(
  x: AnyArray, kernel: Array, dilation: int, precision: jax.lax.Precision | None
) -> Array:
  """A convolution of stride 1 whose reverse-mode gradient is fast in a scan on CPU.

  XLA's CPU compiler is fast for channels-last convolutions alone. It rewrites others
  into that layout, but only outside of loops (its pass ConvCanonicalization visits the
  entry computation). The gradients that JAX derives are in other layouts, and in the
  body of a scan they ran 14 to 30 times slower (a ConvLSTM with 16 channels at 32x56:
  651 ms, against 45 ms in this form and 29 to 33 ms with the scan unrolled).

  Therefore the tangents are written in those layouts whose transposes, which JAX
  derives, are channels-last. All of it is ordinary differentiable code, so that every
  mode and order of derivative works, on every platform. Forward mode inside a loop on
  CPU has the slow layouts instead. On GPU and TPU, XLA's TransposeFolding merges the
  explicit transposes into the convolutions' own dimension numbers.
  """
  return _correlate(x, kernel, dilation=dilation, precision=precision)


# Checkpointed, so that the backward pass keeps the operands themselves, which other
# parts of it share, and not a transposed copy for each convolution.
@functools.partial(jax.checkpoint, prevent_cse=False, static_argnums=(2, 3))
def _tangent_of_input(
  kernel: AnyArray, dx: Array, dilation: int, precision: jax.lax.Precision | None
) -> Array:
  """Transposes to a channels-last convolution with the flipped kernel."""
  return _correlate(
    dx,
    kernel.swapaxes(2, 3),
    dilation=dilation,
    precision=precision,
    layouts=("NHWC", "HWOI", "NHWC"),
  )


@functools.partial(jax.checkpoint, prevent_cse=False, static_argnums=(2, 3))
def _tangent_of_kernel(
  x: AnyArray, dkernel: Array, dilation: int, precision: jax.lax.Precision | None
) -> Array:
  """Transposes to a convolution in which images and channels have changed places."""
  dy = _correlate(
    x.transpose(3, 1, 2, 0),
    dkernel.transpose(2, 0, 1, 3),
    dilation=dilation,
    padding=dilation * (dkernel.shape[0] // 2),
    precision=precision,
    layouts=("CHWN", "IHWO", "HWNC"),
  )
  return dy.transpose(2, 0, 1, 3)


def _convolve_jvp(
  dilation: int,
  precision: jax.lax.Precision | None,
  primals: tuple[AnyArray, AnyArray],
  tangents: tuple[Any, Any],
) -> tuple[Array, Array]:
  (x, kernel), (dx, dkernel) = primals, tangents
  y = _convolve(x, kernel, dilation, precision)
  dy = jnp.zeros_like(y)
  if not isinstance(dx, SymbolicZero):
    dy = _tangent_of_input(kernel, dx, dilation, precision)
  if not isinstance(dkernel, SymbolicZero):
    part = _tangent_of_kernel(x, dkernel, dilation, precision)
    dy = part if isinstance(dx, SymbolicZero) else dy + part
  return y, dy


# Symbolic zeros: nothing is computed for an operand that is not differentiated.
_convolve.defjvp(_convolve_jvp, symbolic_zeros=True)
