"""Mask propagation of A-GAME: from the previous mask and the first frame."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from vosjax.models.execution import Dtype
from vosjax.models.modules.conv import Conv, SplitConv
from vosjax.types import record

# Order of the concatenation in the input channels of the first layer.
_CURRENT, _FIRST, _PREVIOUS_MASK, _FIRST_MASK = range(4)


@record
class PropagationState:
  """State of each object.

  Attributes:
    first: contribution of the object's first frame and mask to the first layer.
    previous: mask in the previous frame.
  """

  first: Float[Array, "b o h w d"]
  previous: Float[Array, "b o h w"]


class MaskPropagation(nn.Module):
  """Three layers over current features, features of the first frame and both masks.

  The first layer is 1x1, so the contributions of its inputs are computed separately:
  that of the current frame once for all objects, that of the first frame once for the
  whole video.

  Attributes:
    input_features: channels of `AGameFeatures.deep`.
    features: channels of every branch.
    dilations: of the parallel 3x3 convolutions in the middle.
    mask_gain: factor on the initial kernel of both masks.
    kernel_init: initialiser of all kernels.
    dtype: of the convolutions.

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
    """Contribution of the current frame to the first layer."""
    return self.join(deep, _CURRENT)

  def init_state(
    self, deep: Float[Array, "b h w c"], masks: Float[Array, "b o h w"]
  ) -> PropagationState:
    """State of objects whose masks are given in this frame."""
    first = self.join(deep, _FIRST, bias=True)[:, None]
    first = first + self._read_masks(masks, _FIRST_MASK)
    return PropagationState(first, masks)

  def __call__(
    self, state: PropagationState, current: Float[Array, "b h w d"]
  ) -> Float[Array, "bo h w d"]:
    """Features of each object; the first axis holds batch and objects."""
    x = current[:, None] + state.first
    x = x + self._read_masks(state.previous, _PREVIOUS_MASK)
    x = nn.relu(x).reshape(-1, *x.shape[2:])
    x = jnp.concatenate([branch(x) for branch in self.branches], axis=-1)
    return nn.relu(self.out(nn.relu(x)))

  def _read_masks(
    self, masks: Float[Array, "b o h w"], part: int
  ) -> Float[Array, "b o h w d"]:
    """Contribution of one of the two masks to the first layer."""
    b, o, h, w = masks.shape
    pair = jnp.stack([1 - masks, masks], axis=-1).reshape(b * o, h, w, 2)
    return self.join(pair, part).reshape(b, o, h, w, -1)
