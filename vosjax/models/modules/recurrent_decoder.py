"""The pyramid of ConvLSTMs that decodes one object after another (RVOS and RSIS)."""

from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from vosjax.models.execution import Execution
from vosjax.models.modules.conv_lstm import ConvLSTMCell, ConvLSTMState
from vosjax.ops import resize
from vosjax.types import record

SkipMode = Literal["concat", "sum", "multiply", "none"]
Maps = tuple[Float[Array, "..."], ...]  # one per level, coarse to fine
States = tuple[ConvLSTMState, ...]  # likewise

# PyTorch's default, U(-1, 1) / sqrt(fan_in).
torch_init = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")


@record
class LevelFeatures:
  """What all objects share at one level.

  Attributes:
    gates: contribution of the frame to the gates, bias included.
    factor: multiplies the upsampled hidden map; in skip mode "multiply" only.
  """

  gates: Float[Array, "b h w g"]
  factor: Float[Array, "b h w c"] | None


class RecurrentDecoder(nn.Module):
  """ConvLSTM cells at a series of levels, each twice as large as the one before.

  The states of the cells pass from object to object. Contributions to the gates that
  all objects share are computed once per frame (`encode`), and those from an object's
  own past for all objects at once (`object_gates`); only the others depend on the
  previous object. The inputs of a cell are "upsampled" (hidden map of the coarser
  level), "skip", "mask" (the object's previous mask), "spatial" (hidden map of the
  previous object) and "temporal" (the object's hidden map in the previous frame).

  Attributes:
    skips: channels of the skip connections, coarse to fine.
    features: channels of the hidden maps, coarse to fine.
    mask: cells have the input "mask".
    temporal: cells have the input "temporal".
    skip_mode: how a skip connection is combined with the upsampled hidden map.
    mask_gain: factor on the initial kernel of the input "mask".
    spatial_gain: the same for "spatial".
    execution: how the network is executed, see Execution.

  Source: Ventura et al., CVPR 2019, section 3; Salvador et al., arXiv 1712.00617.
  """

  skips: tuple[int, ...] = (128, 128, 64, 32)
  features: tuple[int, ...] = (128, 64, 32, 16)
  mask: bool = False
  temporal: bool = True
  skip_mode: SkipMode = "concat"
  mask_gain: float = 1.0
  spatial_gain: float = 1.0
  execution: Execution = Execution()

  def setup(self):
    self.cells = [
      ConvLSTMCell(
        self._inputs(level),
        features,
        gains={"mask": self.mask_gain, "spatial": self.spatial_gain},
        dtype=self.execution.dtype,
      )
      for level, features in enumerate(self.features)
    ]
    self.head = DoublingHead()

  def _inputs(self, level: int) -> tuple[tuple[str, int], ...]:
    """Names and channels of a cell's inputs, in the order of the official weights."""
    concat = level == 0 or self.skip_mode == "concat"
    present = {
      "upsampled": level > 0 and self.features[level - 1],
      "skip": concat and self.skips[level],
      "mask": int(self.mask),
      "spatial": self.features[level],
      "temporal": self.temporal and self.features[level],
    }
    return tuple((name, channels) for name, channels in present.items() if channels)

  def encode(self, skips: Maps) -> tuple[LevelFeatures, ...]:
    """Computes what all objects share, once per frame."""
    levels = []
    for cell, skip in zip(self.cells, skips):
      names = [name for name, _ in cell.inputs]
      if "skip" in names:
        gates = cell.read("skip", skip, bias=True)
      elif self.skip_mode == "sum":
        gates = cell.read("upsampled", skip, bias=True)
      else:
        shape = (*skip.shape[:3], 4 * cell.features)
        gates = jnp.broadcast_to(cell.bias[None, None, None], shape)
      multiply = self.skip_mode == "multiply" and "skip" not in names
      levels.append(LevelFeatures(gates, skip if multiply else None))
    return tuple(levels)

  def object_gates(self, name: Literal["mask", "temporal"], maps: Maps) -> Maps:
    """Contributions of the objects' own masks or hidden maps, [b o h w (c)]."""

    def read(cell: ConvLSTMCell, x: Array) -> Array:
      b, o, h, w = x.shape[:4]
      gates = cell.read(name, x.reshape(b * o, h, w, -1))
      return gates.reshape(b, o, h, w, -1)

    return tuple(read(cell, x) for cell, x in zip(self.cells, maps))

  def __call__(
    self,
    shared: tuple[LevelFeatures, ...],
    per_object: Maps,
    isolated: Bool[Array, "b o"],
  ) -> Maps:
    """Hidden maps [b o h w c] of all objects.

    Args:
      shared: from `encode`.
      per_object: sum of `object_gates` at every level; () without such inputs.
      isolated: objects that see zeros instead of the previous object's state.
    """
    scan = nn.scan(
      RecurrentDecoder._decode_object,
      variable_broadcast="params",
      split_rngs={"params": False},
      in_axes=(1, 1, nn.broadcast),
      out_axes=1,
      unroll=self.execution.unroll_objects,
    )
    return scan(self, self.start(shared), per_object, isolated, shared)[1]

  def start(self, shared: tuple[LevelFeatures, ...]) -> States:
    """States before the first object."""
    return tuple(
      cell.initial_state(*level.gates.shape[:3])
      for cell, level in zip(self.cells, shared)
    )

  def follow(
    self, states: States, shared: tuple[LevelFeatures, ...]
  ) -> tuple[States, Maps]:
    """Decodes the next object, without inputs from its own past.

    Returns:
      States after it, and its hidden maps [b 1 h w c].
    """
    isolated = jnp.zeros(len(shared[0].gates), bool)
    states, hidden = self._decode_object(states, (), isolated, shared)
    return states, tuple(x[:, None] for x in hidden)

  def _decode_object(
    self,
    states: States,
    per_object: Maps,
    isolated: Bool[Array, " b"],
    shared: tuple[LevelFeatures, ...],
  ) -> tuple[States, Maps]:
    """States after one object, and its hidden maps."""
    keep = 1.0 - isolated[:, None, None, None]
    after: list[ConvLSTMState] = []
    for level, (cell, state) in enumerate(zip(self.cells, states)):
      state = jax.tree.map(lambda x: x * keep, state)
      gates = shared[level].gates + cell.read("spatial", state.hidden)
      if per_object:
        gates = gates + per_object[level]
      if level:
        _, h, w, _ = gates.shape
        x = resize.bilinear(after[-1].hidden, (h, w), align_corners=True)
        factor = shared[level].factor
        gates = gates + cell.read("upsampled", x if factor is None else x * factor)
      after.append(cell(gates, state.cell))
    return tuple(after), tuple(state.hidden for state in after)

  def logits(
    self, hidden: Float[Array, "b o h w c"], size: tuple[int, int]
  ) -> Float[Array, "b o height width"]:
    """Mask logits at `size` from the finest hidden maps."""
    b, o, *_ = hidden.shape
    x = self.head(hidden.reshape(b * o, *hidden.shape[2:]))
    if size != x.shape[1:]:
      x = resize.bilinear(x[..., None], size, align_corners=True)
    return x.reshape(b, o, *size)


class DoublingHead(nn.Module):
  """A 3x3 convolution to one channel of maps that are upsampled by two.

  Both operations are linear, so the channels are first contracted for each of the
  nine taps, and these are upsampled, shifted and summed. On CPU this avoids a slow
  upsampling of all channels and a slow convolution to one channel: 10 ms instead of
  34 ms for ten maps of 16 channels at 64x112.
  """

  @nn.compact
  def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n height width"]:
    kernel = self.param("kernel", torch_init, (3, 3, x.shape[-1], 1))
    bias = self.param("bias", nn.initializers.zeros, (1,))
    n, h, w, _ = x.shape
    size = 2 * h, 2 * w
    # Maps first, so that devices which share the batch keep their own.
    taps = jnp.einsum("nhwc,ijc->nijhw", x, kernel[..., 0]).reshape(9 * n, h, w, 1)
    taps = resize.bilinear(taps, size, align_corners=True).reshape(n, 3, 3, *size)
    taps = jnp.pad(taps, ((0, 0),) * 3 + ((1, 1),) * 2)
    shifted = (
      taps[:, i, j, i : i + size[0], j : j + size[1]] for i, j in np.ndindex(3, 3)
    )
    return sum(shifted, bias[0])
