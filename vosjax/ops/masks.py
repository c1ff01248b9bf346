"""Labels, masks, and what several objects say of one pixel."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

# Probabilities are kept this far from 0 and 1 before odds are formed.
_CLIP = 1e-7


def clip_probability(probs: Float[Array, "*any"]) -> Float[Array, "*any"]:
  """Probabilities kept 1e-7 away from 0 and 1."""
  return jnp.clip(probs, _CLIP, 1 - _CLIP)


def soft_aggregate(
    logits: Float[Array, "b o h w"], active: Bool[Array, "b o"]
) -> Float[Array, "b o h w"]:
  """Object probabilities that compete with each other and with the background.

  The background takes the least of the objects' background probabilities; then
  all odds are normalised. With one object of probability f this gives
  f^2 / (f^2 + (1 - f)^2), not f.

  Args:
    logits: each object against its own background.
    active: which slots count.

  Returns:
    Probability of each object, 0 in slots that are not active.

  Source: Oh et al., CVPR 2018 (soft aggregation), as the released A-GAME does it.
  """
  mask = active[:, :, None, None]
  background = jax.nn.sigmoid(-logits)
  odds = clip_probability(jax.nn.sigmoid(logits)) / clip_probability(background)
  odds = jnp.where(mask, odds, 0.0)
  least = jnp.where(mask, background, 1.0).min(1, keepdims=True)
  background_odds = clip_probability(least) / clip_probability(1 - least)
  return odds / (background_odds + odds.sum(1, keepdims=True))


def label_slots(probs: Float[Array, "b o h w"]) -> Int[Array, "b h w"]:
  """Label map of aggregated probabilities: 0 = background, i = slot i - 1.

  Ties go to the background first and then to the lower slot.
  """
  background = 1 - probs.sum(1, keepdims=True)
  return jnp.concatenate([background, probs], axis=1).argmax(1)
