"""Convolution and BatchNorm as one unit, which inference folds into one kernel."""

from collections.abc import Mapping
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from vosjax.models.execution import Dtype, Execution
from vosjax.models.modules.conv import MIN_CHANNELS, WINOGRAD, Conv, DepthwiseConv
from vosjax.ops import winograd as winograd_ops
from vosjax.types import AnyArray, Variables

Lineage = Literal["torch", "tensorflow"]
# Names of BatchNorms in a ConvNorm and their epsilon, by which `fold` knows them.
EPSILONS = {"norm": 1e-5, "tf_norm": 1e-3}
_NAMES = {"torch": "norm", "tensorflow": "tf_norm"}


class BatchNorm(nn.Module):
  """BatchNorm with PyTorch's running statistics.

  Batches are normalised with the biased variance; the running average is of the
  unbiased one. Statistics are summed in float32.

  Attributes:
    decay: of the running averages (PyTorch's momentum is 1 - decay).
    axis_name: mapped axis over which statistics are averaged, see Execution.
    dtype: of the result.
    epsilon: added to the variance.
  """

  decay: float = 0.9
  axis_name: str | None = None
  dtype: Dtype = None
  epsilon: float = EPSILONS["norm"]

  @nn.compact
  def __call__(
    self, x: Float[Array, "n h w c"], *, train: bool, steps: int = 1
  ) -> Float[Array, "n h w c"]:
    """Normalises; each of `steps` consecutive images has statistics of its own."""
    c = x.shape[-1]
    scale = self.param("scale", nn.initializers.ones, (c,))
    bias = self.param("bias", nn.initializers.zeros, (c,))
    mean = self.variable("batch_stats", "mean", jnp.zeros, (c,))
    var = self.variable("batch_stats", "var", jnp.ones, (c,))
    if train and not self.is_initializing():
      return self._normalise_batch(x, scale, bias, mean, var, steps)
    factor = scale * jax.lax.rsqrt(var.value + self.epsilon)
    shift = bias - mean.value * factor
    dtype = self.dtype or x.dtype
    factor, shift = (y.astype(dtype)[None, None, None] for y in (factor, shift))
    return x.astype(dtype) * factor + shift

  def _normalise_batch(
    self,
    x: Float[Array, "n h w c"],
    scale: Float[AnyArray, " c"],
    bias: Float[AnyArray, " c"],
    mean: nn.Variable,
    var: nn.Variable,
    steps: int,
  ) -> Float[Array, "n h w c"]:
    """Normalises by batch statistics, and updates the running ones."""
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
    factor = scale[None] * jax.lax.rsqrt(batch_var + self.epsilon)
    y = centred * factor[None, :, None, None] + bias.reshape(1, 1, 1, 1, -1)
    return y.reshape(x.shape).astype(self.dtype or x.dtype)


class ConvNorm(nn.Module):
  """Convolution, then BatchNorm; or, if folded, a convolution with bias.

  Attributes:
    features: channels of the result.
    size: rows and columns of the kernel.
    stride: of the convolution.
    dilation: of the convolution.
    execution: how the network is executed, see Execution.
    use_bias: the convolution has a bias of its own. BatchNorm cancels it, but some
      released weights have it.
    depthwise: each channel has a kernel of its own; `features` is their number.
    lineage: "torch": equal padding, epsilon 1e-5; "tensorflow": SAME padding (see
      Conv), epsilon 1e-3, and the BatchNorm is called `tf_norm`.
  """

  features: int
  size: int
  stride: int = 1
  dilation: int = 1
  execution: Execution = Execution()
  use_bias: bool = False
  depthwise: bool = False
  lineage: Lineage = "torch"

  @nn.compact
  def __call__(
    self, x: Float[Array, "n h w c"], *, train: bool, steps: int = 1
  ) -> Float[Array, "n height width d"]:
    x = self._convolution()(x)
    if self.execution.folded:
      return x
    name = _NAMES[self.lineage]
    norm = BatchNorm(
      axis_name=self.execution.axis_name,
      dtype=self.execution.dtype,
      epsilon=EPSILONS[name],
      name=name,
    )
    return norm(x, train=train, steps=steps)

  def _convolution(self) -> Conv | DepthwiseConv:
    use_bias = self.execution.folded or self.use_bias
    if self.depthwise:
      return DepthwiseConv(
        self.size,
        self.stride,
        self.dilation,
        use_bias,
        self.execution.dtype,
        name="conv",
      )
    return Conv(
      self.features,
      self.size,
      self.stride,
      self.dilation,
      use_bias=use_bias,
      kernel_init=nn.initializers.variance_scaling(2.0, "fan_out", "normal"),
      dtype=self.execution.dtype,
      padding="same" if self.lineage == "tensorflow" else "equal",
      name="conv",
    )


def fold(variables: Variables, *, winograd: bool = False) -> Variables:
  """Variables of the same model with `Execution(folded=True)`, for inference.

  Every pair of `conv` and a BatchNorm becomes one convolution with bias; batch
  statistics are gone.

  Args:
    variables: of a model.
    winograd: add transformed kernels of wide 3x3 convolutions. On CPU a frame of
      A-GAME at 480x864 then takes 28 % less time, one of COSNet 19 %, one of RVOS 2 %
      (paired medians); the kernels take 16/9 of their memory in addition.
  """

  def fold_tree(params: Mapping[str, Any], stats: Mapping[str, Any]) -> dict[str, Any]:
    name = next((name for name in EPSILONS if set(params) == {"conv", name}), None)
    if name is not None:
      norm, running = params[name], stats[name]
      factor = norm["scale"] * jax.lax.rsqrt(running["var"] + EPSILONS[name])
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
