"""Spatial inhibition: attention to one region out of many (RIS)."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
from jaxtyping import Array, Float

from vosjax.models.modules.conv import Conv


class SpatialInhibition(nn.Module):
  """Mask logits of the region that wins a softmax over all positions.

  Attributes:
    bias: initial value of the scalar that is added to the log-softmax.

  Source: Romera-Paredes and Torr, ECCV 2016, section 3.3.
  """

  bias: float = 1.0

  @nn.compact
  def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h w"]:
    score = Conv(1, 1, kernel_init=uniform, name="score")(x)[..., 0]
    bias = self.param("bias", nn.initializers.constant(self.bias), ())
    return nn.log_softmax(score, axis=(1, 2)) + bias


def uniform(key: jax.Array, shape: Sequence[int], dtype: Any = float) -> jax.Array:
  """Initialiser U(-0.08, 0.08) of all recurrent parts of RIS."""
  return 0.16 * nn.initializers.uniform(1.0)(key, shape, dtype) - 0.08
