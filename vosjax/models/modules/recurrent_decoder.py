"""The ConvLSTM pyramid that decodes one object after another (RVOS and RSIS)."""

from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from vosjax.models.modules.conv import Dtype
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
    gates: the part of the gates that no object has a share in, bias included.
    factor: multiplies the upsampled hidden map; only in skip mode "multiply".
  """

  gates: Float[Array, "b h w g"]
  factor: Float[Array, "b h w c"] | None


class RecurrentDecoder(nn.Module):
  """A ladder of ConvLSTM cells, each at twice the size of the one before.

  The cells' states pass from object to object. What all objects share is read into
  the gates once per frame (`encode`) and what objects bring along for all of them at
  once (`own_gates`); only the rest waits for the object before. Inputs of a cell are
  named "upsampled" (hidden map of the coarser level), "skip", "mask" (the object's
  previous mask), "spatial" (hidden map of the previous object) and "temporal" (the
  object's hidden map in the previous frame).

  Attributes:
    skips: channels of the skip connections, coarse to fine.
    features: channels of the hidden maps.
    mask: cells have the input "mask".
    temporal: cells have the input "temporal".
    skip_mode: how a skip connection meets the upsampled hidden map.
    mask_gain: factor on the initial kernel of the input "mask".
    spatial_gain: likewise of "spatial".
    unroll: objects per iteration of the scan; True: all.

  Source: Ventura et al., CVPR 2019, section 3; Salvador et al., arXiv 1712.00617.
  """

  skips: tuple[int, ...] = (128, 128, 64, 32)
  features: tuple[int, ...] = (128, 64, 32, 16)
  mask: bool = False
  temporal: bool = True
  skip_mode: SkipMode = "concat"
  mask_gain: float = 1.0
  spatial_gain: float = 1.0
  unroll: int | bool = 1
  dtype: Dtype = None

  def setup(self):
    self.cells = [
      ConvLSTMCell(
        self._inputs(level),
        features,
        gains={"mask": self.mask_gain, "spatial": self.spatial_gain},
        dtype=self.dtype,
      )
      for level, features in enumerate(self.features)
    ]
    self.head = DoublingHead()

  def _inputs(self, level):
    """Names and channels in the order of the official concatenation."""
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
    """What all objects share, computed once per frame."""
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

  def own_gates(self, name: Literal["mask", "temporal"], maps: Maps) -> Maps:
    """The part of the gates that objects bring along; maps are [b o h w (c)]."""

    def read(cell, x):
      b, o, h, w = x.shape[:4]
      gates = cell.read(name, x.reshape(b * o, h, w, -1))
      return gates.reshape(b, o, h, w, -1)

    return tuple(read(cell, x) for cell, x in zip(self.cells, maps))

  def __call__(
    self,
    shared: tuple[LevelFeatures, ...],
    own: Maps,
    alone: Bool[Array, "b o"],
  ) -> Maps:
    """Hidden maps [b o h w c] of all objects.

    Args:
      shared: from `encode`.
      own: sum of `own_gates` at every level, or () if objects bring nothing.
      alone: objects that see zeros in place of the previous object's state.
    """
    scan = nn.scan(
      RecurrentDecoder._decode_object,
      variable_broadcast="params",
      split_rngs={"params": False},
      in_axes=(1, 1, nn.broadcast),
      out_axes=1,
      unroll=self.unroll,
    )
    return scan(self, self.start(shared), own, alone, shared)[1]

  def start(self, shared: tuple[LevelFeatures, ...]) -> States:
    """States before the first object."""
    return tuple(
      cell.initial_state(*level.gates.shape[:3])
      for cell, level in zip(self.cells, shared)
    )

  def follow(
    self, states: States, shared: tuple[LevelFeatures, ...]
  ) -> tuple[States, Maps]:
    """The next of objects that bring nothing along: states, hidden maps [b 1 h w c]."""
    alone = jnp.zeros(len(shared[0].gates), bool)
    states, hidden = self._decode_object(states, (), alone, shared)
    return states, tuple(x[:, None] for x in hidden)

  def _decode_object(self, states, own, alone, shared):
    keep = 1.0 - alone[:, None, None, None]
    after: list[ConvLSTMState] = []
    for level, (cell, state) in enumerate(zip(self.cells, states)):
      state = jax.tree.map(lambda x: x * keep, state)
      gates = shared[level].gates + cell.read("spatial", state.hidden)
      if own:
        gates = gates + own[level]
      if level:
        x = resize.bilinear(after[-1].hidden, gates.shape[1:3], align_corners=True)
        factor = shared[level].factor
        gates = gates + cell.read("upsampled", x if factor is None else x * factor)
      after.append(cell(gates, state.cell))
    return tuple(after), tuple(state.hidden for state in after)

  def logits(
    self, hidden: Float[Array, "b o h w c"], size: tuple[int, int]
  ) -> Float[Array, "b o height width"]:
    """Mask logits at `size`, from the finest hidden maps."""
    b, o, *_ = hidden.shape
    x = self.head(hidden.reshape(b * o, *hidden.shape[2:]))
    if size != x.shape[1:]:
      x = resize.bilinear(x[..., None], size, align_corners=True)
    return x.reshape(b, o, *size)


class DoublingHead(nn.Module):
  """A 3x3 convolution to one channel, of maps at twice their size.

  Both are linear: what each of the nine taps makes of all channels is doubled, and
  then shifted and summed. That is less to double, and no convolution to one channel,
  both slow on CPU (34 ms became 10 ms for ten maps of 16 channels, 64x112).
  """

  @nn.compact
  def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n height width"]:
    kernel = self.param("kernel", torch_init, (3, 3, x.shape[-1], 1))
    bias = self.param("bias", nn.initializers.zeros, (1,))
    n, h, w, _ = x.shape
    size = 2 * h, 2 * w
    taps = jnp.einsum("nhwc,ijc->ijnhw", x, kernel[..., 0]).reshape(9 * n, h, w, 1)
    taps = resize.bilinear(taps, size, align_corners=True).reshape(3, 3, n, *size)
    taps = jnp.pad(taps, ((0, 0),) * 3 + ((1, 1),) * 2)
    shifted = (
      taps[i, j, :, i : i + size[0], j : j + size[1]] for i, j in np.ndindex(3, 3)
    )
    return sum(shifted, bias[0])
