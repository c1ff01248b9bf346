"""Losses over pixels."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


def binary_nll(
    logits: Float[Array, "*any"], truth: Bool[Array, "*any"]
) -> Float[Array, "*any"]:
  """Negative log-likelihood of each pixel, object against background."""
  return -jax.nn.log_sigmoid(jnp.where(truth, logits, -logits))


def binary_iou(
    prediction: Bool[Array, "*batch h w"],
    truth: Bool[Array, "*batch h w"],
    valid: Bool[Array, "*batch h w"],
) -> Float[Array, "*batch"]:
  """Intersection over union of each mask; 1 where both are empty.

  The 1e-8 in both terms is that of the released A-GAME.
  """
  axes = (-2, -1)
  intersection = (prediction & truth & valid).sum(axes)
  union = ((prediction | truth) & valid).sum(axes)
  return (intersection + 1e-8) / (union + 1e-8)
