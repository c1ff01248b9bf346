"""Refinement of coarse features with shallower ones (A-GAME's upsampler)."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
from jaxtyping import Array, Float

from vosjax.models.execution import Dtype
from vosjax.models.modules.conv import BinaryHead, Conv, SplitConv
from vosjax.ops import resize

_SKIP, _UPSAMPLED = range(2)


class Refinement(nn.Module):
  """Blends in stage2 and stage1 at strides 8 and 4, then predicts at full size.

  Attributes:
    features: channels of both blends.
    kernel_init: initialiser of all kernels.
    dtype: of the convolutions; logits are in float32.

  Source: Johnander et al., CVPR 2019, section 3.5, after Pinheiro et al., ECCV 2016.
  """

  features: int = 128
  kernel_init: Callable[..., Any] = nn.initializers.he_uniform()
  dtype: Dtype = None

  def setup(self):
    parts = (self.features, self.features)
    init = {"kernel_init": self.kernel_init, "dtype": self.dtype}
    self.project8 = Conv(self.features, 1, **init)
    self.project4 = Conv(self.features, 1, **init)
    self.blend8 = SplitConv(parts, self.features, size=3, **init)
    self.blend4 = SplitConv(parts, self.features, size=3, **init)
    self.head = BinaryHead(3, self.kernel_init)

  def encode(
    self, stage2: Float[Array, "b h8 w8 c2"], stage1: Float[Array, "b h4 w4 c1"]
  ) -> tuple[Float[Array, "b h8 w8 d"], Float[Array, "b h4 w4 d"]]:
    """Contributions of the skip connections, the same for every object."""
    return (
      self.blend8(nn.relu(self.project8(stage2)), _SKIP, bias=True),
      self.blend4(nn.relu(self.project4(stage1)), _SKIP, bias=True),
    )

  def __call__(
    self,
    fused: Float[Array, "bo h w d"],
    skip8: Float[Array, "b h8 w8 d"],
    skip4: Float[Array, "b h4 w4 d"],
  ) -> Float[Array, "bo h1 w1"]:
    """Logit of the object at each pixel of the frame."""
    x = self._blend(self.blend8, fused, skip8)
    x = self._blend(self.blend4, x, skip4)
    logits = self.head(x)[..., None]
    size = (4 * logits.shape[1], 4 * logits.shape[2])
    return resize.bilinear(logits, size)[..., 0]

  def _blend(
    self,
    blend: SplitConv,
    x: Float[Array, "bo _ _ d"],
    skip: Float[Array, "b h w d"],
  ) -> Float[Array, "bo h w d"]:
    """Upsamples `x` to the size of a skip connection and blends the two."""
    b, h, w, d = skip.shape
    x = blend(resize.bilinear(x, (h, w)), _UPSAMPLED)
    x = x.reshape(b, -1, h, w, d) + skip[:, None]
    return nn.relu(x).reshape(-1, h, w, d)
