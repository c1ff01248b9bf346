"""Labels, masks, and what several objects say of one pixel."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

# Probabilities are kept this far from 0 and 1 before odds are formed.
_CLIP = 1e-7


def clip_probability(probs: Float[Array, "*any"]) -> Float[Array, "*any"]:
  """Probabilities kept 1e-7 away from 0 and 1."""
  return jnp.clip(probs, _CLIP, 1 - _CLIP)


def soft_aggregate(
  logits: Float[Array, "b o h w"], active: Bool[Array, "b o"]
) -> Float[Array, "b n h w"]:
  """Probabilities of background and objects, which compete with each other.

  The background takes the least of the objects' background probabilities; then
  all odds are normalised. With one object of probability f this gives
  f^2 / (f^2 + (1 - f)^2), not f. The arg-max over the result is the label map:
  ties go to the background first and then to the lower slot.

  Args:
    logits: each object against its own background.
    active: which slots count.

  Returns:
    Background, then each object, so `n = o + 1`; 0 in slots that are not active.

  Source: Oh et al., CVPR 2018 (soft aggregation), as the released A-GAME does it.
  """
  mask = active[:, :, None, None]
  background = jax.nn.sigmoid(-logits)
  odds = clip_probability(jax.nn.sigmoid(logits)) / clip_probability(background)
  least = jnp.where(mask, background, 1.0).min(1, keepdims=True)
  least_odds = clip_probability(least) / clip_probability(1 - least)
  odds = jnp.concatenate([least_odds, jnp.where(mask, odds, 0.0)], axis=1)
  return odds / odds.sum(1, keepdims=True)
