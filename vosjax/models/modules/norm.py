"""Convolution and BatchNorm as one unit, which inference folds into one kernel."""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from vosjax.models.modules.conv import MIN_CHANNELS, WINOGRAD, Conv, Dtype
from vosjax.ops import winograd as winograd_ops
from vosjax.types import Variables

EPSILON = 1e-5  # of all official programs


class BatchNorm(nn.Module):
  """BatchNorm with PyTorch's running statistics.

  The variance that normalises is the biased one, the variance that enters the
  running average is the unbiased one. Statistics are summed in float32.

  Attributes:
    decay: of the running averages (PyTorch's momentum is 1 - decay).
    axis_name: mapped axis over which statistics are shared; only under `pmap` or
      `shard_map`, under `jit` they are global anyway.
  """

  decay: float = 0.9
  axis_name: str | None = None
  dtype: Dtype = None

  @nn.compact
  def __call__(
    self, x: Float[Array, "n h w c"], *, train: bool, steps: int = 1
  ) -> Float[Array, "n h w c"]:
    """Normalises; `steps` consecutive images of a clip have statistics of their own."""
    c = x.shape[-1]
    scale = self.param("scale", nn.initializers.ones, (c,))
    bias = self.param("bias", nn.initializers.zeros, (c,))
    mean = self.variable("batch_stats", "mean", jnp.zeros, (c,))
    var = self.variable("batch_stats", "var", jnp.ones, (c,))
    if train and not self.is_initializing():
      return self._normalise_batch(x, scale, bias, mean, var, steps)
    factor = scale * jax.lax.rsqrt(var.value + EPSILON)
    shift = bias - mean.value * factor
    dtype = self.dtype or x.dtype
    factor, shift = (y.astype(dtype)[None, None, None] for y in (factor, shift))
    return x.astype(dtype) * factor + shift

  def _normalise_batch(self, x, scale, bias, mean, var, steps):
    clips = x.reshape(-1, steps, *x.shape[1:]).astype(jnp.float32)
    axes = (0, 2, 3)
    count = clips.size // steps // clips.shape[-1]
    batch_mean = clips.mean(axes)
    if self.axis_name:
      batch_mean = jax.lax.pmean(batch_mean, self.axis_name)
      count *= jax.lax.axis_size(self.axis_name)
    centred = clips - batch_mean[None, :, None, None]
    batch_var = jnp.square(centred).mean(axes)
    if self.axis_name:
      batch_var = jax.lax.pmean(batch_var, self.axis_name)
    for step in range(steps):
      mean.value = self.decay * mean.value + (1 - self.decay) * batch_mean[step]
      unbiased = batch_var[step] * count / max(count - 1, 1)
      var.value = self.decay * var.value + (1 - self.decay) * unbiased
    factor = scale[None] * jax.lax.rsqrt(batch_var + EPSILON)
    y = centred * factor[None, :, None, None] + bias.reshape(1, 1, 1, 1, -1)
    return y.reshape(x.shape).astype(self.dtype or x.dtype)


class ConvNorm(nn.Module):
  """Convolution, then BatchNorm; or, folded, a convolution with bias.

  Attributes:
    size: rows and columns of the kernel.
    folded: the variables come from `fold`.
    use_bias: of the convolution before BatchNorm; it changes nothing that BatchNorm
      does not undo, but some released weights have it.
  """

  features: int
  size: int
  stride: int = 1
  dilation: int = 1
  folded: bool = False
  axis_name: str | None = None
  dtype: Dtype = None
  use_bias: bool = False

  @nn.compact
  def __call__(
    self, x: Float[Array, "n h w c"], *, train: bool, steps: int = 1
  ) -> Float[Array, "n height width d"]:
    x = Conv(
      self.features,
      self.size,
      self.stride,
      self.dilation,
      use_bias=self.folded or self.use_bias,
      kernel_init=nn.initializers.variance_scaling(2.0, "fan_out", "normal"),
      dtype=self.dtype,
      name="conv",
    )(x)
    if self.folded:
      return x
    norm = BatchNorm(axis_name=self.axis_name, dtype=self.dtype, name="norm")
    return norm(x, train=train, steps=steps)


def fold(variables: Variables, *, winograd: bool = False) -> Variables:
  """Variables of the same model with `folded=True`, for inference.

  Every pair of `conv` and `norm` becomes one convolution with bias, and no batch
  statistics remain.

  Args:
    variables: of a model.
    winograd: add the transformed kernels of wide 3x3 convolutions, which is faster
      on CPU and takes 16/9 of their memory on top.
  """

  def fold_tree(params: Mapping[str, Any], stats: Mapping[str, Any]) -> dict[str, Any]:
    if set(params) == {"conv", "norm"}:
      norm, running = params["norm"], stats["norm"]
      factor = norm["scale"] * jax.lax.rsqrt(running["var"] + EPSILON)
      offset = running["mean"] - params["conv"].get("bias", 0.0)
      bias = norm["bias"] - offset * factor
      kernel = params["conv"]["kernel"] * factor[None, None, None]
      params = {"conv": {"kernel": kernel, "bias": bias}}
    params = {
      name: fold_tree(child, stats.get(name, {}))
      if isinstance(child, Mapping)
      else child
      for name, child in params.items()
    }
    kernel = params.get("kernel")
    if winograd and kernel is not None and kernel.shape[:2] == (3, 3):
      wide = min(kernel.shape[2:]) >= MIN_CHANNELS
      params |= {WINOGRAD: winograd_ops.transform_kernel(kernel)} if wide else {}
    return params

  return {"params": fold_tree(variables["params"], variables.get("batch_stats", {}))}
