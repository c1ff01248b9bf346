"""Mask propagation of A-GAME: last mask and reference frame to the current frame."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from vosjax.models.modules.conv import Conv, Dtype, SplitConv
from vosjax.types import record

# Order of the concatenation that the first layer's kernel belongs to.
_CURRENT, _REFERENCE, _PREVIOUS_MASK, _REFERENCE_MASK = range(4)


@record
class PropagationState:
  """Per object: the reference frame's part of the first layer, and the last mask."""

  reference: Float[Array, "b o h w d"]
  previous: Float[Array, "b o h w"]


class MaskPropagation(nn.Module):
  """Three layers over current features, reference features and both masks.

  The first layer is 1x1, so its parts are computed apart: the current frame's once
  for all objects, the reference frame's once for the whole video.

  Attributes:
    mask_gain: factor on the initial kernel of both masks.
    input_features: channels of the backbone's last stage.
    features: channels of every branch.
    dilations: of the parallel 3x3 convolutions in the middle.
    kernel_init: initializer of all kernels.

  Source: Johnander et al., CVPR 2019, section 3.3.
  """

  input_features: int
  features: int = 512
  dilations: tuple[int, ...] = (1, 3, 6)
  mask_gain: float = 1.0
  kernel_init: Callable[..., Any] = nn.initializers.he_uniform()
  dtype: Dtype = None

  def setup(self):
    parts = (self.input_features, self.input_features, 2, 2)
    gains = (1.0, 1.0, self.mask_gain, self.mask_gain)
    init = {"kernel_init": self.kernel_init, "dtype": self.dtype}
    self.join = SplitConv(parts, self.features, gains=gains, **init)
    self.branches = [Conv(self.features, 3, dilation=d, **init) for d in self.dilations]
    self.out = Conv(self.features, 3, **init)

  def encode(self, deep: Float[Array, "b h w c"]) -> Float[Array, "b h w d"]:
    """The current frame's part of the first layer."""
    return self.join(deep, _CURRENT)

  def init_state(
    self, deep: Float[Array, "b h w c"], masks: Float[Array, "b o h w"]
  ) -> PropagationState:
    """State of objects that are given in this frame."""
    reference = self.join(deep, _REFERENCE, bias=True)[:, None]
    reference = reference + self._mask_part(masks, _REFERENCE_MASK)
    return PropagationState(reference, masks)

  def __call__(
    self, state: PropagationState, current: Float[Array, "b h w d"]
  ) -> Float[Array, "bo h w d"]:
    """Features of each object; batch and objects share the first axis."""
    x = current[:, None] + state.reference
    x = x + self._mask_part(state.previous, _PREVIOUS_MASK)
    x = nn.relu(x).reshape(-1, *x.shape[2:])
    x = jnp.concatenate([branch(x) for branch in self.branches], axis=-1)
    return nn.relu(self.out(nn.relu(x)))

  def _mask_part(self, masks, part):
    b, o, h, w = masks.shape
    pair = jnp.stack([1 - masks, masks], axis=-1).reshape(b * o, h, w, 2)
    return self.join(pair, part).reshape(b, o, h, w, -1)
