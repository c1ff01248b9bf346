"""Probabilities of several objects that compete for the same pixels."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

# Distance from 0 and 1 at which probabilities are clipped before odds are computed.
_CLIP = 1e-7


def clip_probability(probs: Float[Array, "*any"]) -> Float[Array, "*any"]:
  """Probabilities clipped to [1e-7, 1 - 1e-7]."""
  return jnp.clip(probs, _CLIP, 1 - _CLIP)


def soft_aggregate(
  logits: Float[Array, "b o h w"], active: Bool[Array, "b o"]
) -> Float[Array, "b n h w"]:
  """Probabilities of the background and of objects that compete with each other.

  The background's probability is the smallest background probability of any object;
  then all odds are normalised. A single object of probability f thus obtains
  f^2 / (f^2 + (1 - f)^2), not f. The arg-max of the result is the label map, in which
  ties go to the background first and then to the lower slot.

  Args:
    logits: each object against its own background.
    active: which slots count.

  Returns:
    The background, then each object, so `n = o + 1`; 0 in inactive slots.

  Source: Oh et al., CVPR 2018 (soft aggregation), as the released A-GAME does it.
  """
  mask = active[:, :, None, None]
  background = jax.nn.sigmoid(-logits)
  odds = clip_probability(jax.nn.sigmoid(logits)) / clip_probability(background)
  least = jnp.where(mask, background, 1.0).min(1, keepdims=True)
  least_odds = clip_probability(least) / clip_probability(1 - least)
  odds = jnp.concatenate([least_odds, jnp.where(mask, odds, 0.0)], axis=1)
  return odds / odds.sum(1, keepdims=True)
