"""A ConvLSTM cell whose gates are summed over separately convolved inputs."""

from collections.abc import Mapping

import flax.linen as nn
import jax.numpy as jnp
from flax.core import FrozenDict
from jaxtyping import Array, Float

from vosjax.models.execution import Dtype
from vosjax.models.modules.conv import SplitConv
from vosjax.types import record


@record
class ConvLSTMState:
  """What a cell passes on to its next step."""

  hidden: Float[Array, "n h w c"]
  cell: Float[Array, "n h w c"]


class ConvLSTMCell(nn.Module):
  """LSTM with one 3x3 convolution for all gates over a concatenation of inputs.

  The convolution is linear, so each input is convolved on its own (`read`), once for
  all steps that share it, and the cell receives the sum. The channels of the gates are
  quarters: input gate, forget gate, output gate and candidate.

  Attributes:
    inputs: name and channels of each input, previous hidden maps included, in the
      order of the concatenation.
    features: channels of the hidden map and of the cell state.
    gains: factor on the initial kernel of an input, by its name.
    gate_bias: initial bias of the three gates; that of the candidate is 0.
    dtype: of the convolution; gates are summed in float32.

  Source: Shi et al., NeurIPS 2015, without peepholes.
  """

  inputs: tuple[tuple[str, int], ...]
  features: int
  gains: Mapping[str, float] = FrozenDict()
  gate_bias: float = 0.0
  dtype: Dtype = None

  def setup(self):
    parts = tuple(channels for _, channels in self.inputs)
    # PyTorch's default is U(-1, 1) / sqrt(fan_in); He's is sqrt(6) times as wide.
    gains = tuple(6**-0.5 * self.gains.get(name, 1.0) for name, _ in self.inputs)
    self.gates = SplitConv(
      parts, 4 * self.features, 3, gains, self.dtype, bias_init=self._init_bias
    )

  def _init_bias(self, key: Array, shape: tuple[int, ...]) -> Array:
    del key
    return jnp.zeros(shape).at[: 3 * self.features].set(self.gate_bias)

  @property
  def bias(self) -> Float[Array, " g"]:
    """Bias of the gates."""
    return self.gates.bias

  def read(
    self, name: str, x: Float[Array, "n h w c"], *, bias: bool = False
  ) -> Float[Array, "n h w g"]:
    """Contribution of one input to the gates; `bias` adds the bias to it."""
    index = [other for other, _ in self.inputs].index(name)
    return self.gates(x, index, bias=bias)

  def __call__(
    self, gates: Float[Array, "n h w g"], cell: Float[Array, "n h w c"]
  ) -> ConvLSTMState:
    """One step from the sum of all contributions to the gates."""
    gates = gates.astype(jnp.float32)
    i, f, o, candidate = jnp.split(gates, 4, axis=-1)
    cell = nn.sigmoid(f) * cell + nn.sigmoid(i) * jnp.tanh(candidate)
    return ConvLSTMState(nn.sigmoid(o) * jnp.tanh(cell), cell)

  def initial_state(self, n: int, h: int, w: int) -> ConvLSTMState:
    """The all-zero initial state."""
    zeros = jnp.zeros((n, h, w, self.features))
    return ConvLSTMState(zeros, zeros)
