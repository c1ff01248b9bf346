"""How sure a segmenter is of each object: a score per object and frame."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Shaped

from vosjax.types import Prediction


def score(
  prediction: Prediction,
  framed: Float[Array, "b o framed_h framed_w"],
  probs: Float[Array, "b o h w"],
  labels: Shaped[Array, "b h w"],
) -> Float[Array, "b o"]:
  """The overlap that each mask is expected to have with the true one."""
  slots = jnp.arange(1, probs.shape[1] + 1)[None, :, None, None]
  masks = labels[:, None] == slots
  inside = (probs * masks).sum((2, 3))
  union = probs.sum((2, 3)) + masks.sum((2, 3)) - inside
  return inside / jnp.maximum(union, 1e-6)
