"""Which prediction stands for which object: bipartite matching on the device."""

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int

from vosjax.types import AnyArray

# More than any pair of valid objects costs, so that padding goes to padding.
PADDING_COST = 10.0


def valid_slots(valid: Bool[AnyArray, "b g"], t: int) -> Bool[Array, "b t"]:
  """Which of `t` predictions take part: those with the index of a valid object."""
  return jnp.pad(valid, ((0, 0), (0, max(0, t - valid.shape[1]))))[:, :t]


def mask_padding(
  cost: Float[AnyArray, "b g t"], valid: Bool[AnyArray, "b g"]
) -> Float[Array, "b g t"]:
  """Sets a cost of 10 on pairs that padding has a part in.

  With n valid objects as many predictions take part: prediction `t` does if and only
  if object `t` is valid, as in the released RSIS and RVOS.
  """
  slots = valid_slots(valid, cost.shape[2])
  return jnp.where(valid[:, :, None] & slots[:, None], cost, PADDING_COST)


def match(cost: Float[AnyArray, "b g t"]) -> Int[Array, "b t"]:
  """The objects that predictions stand for at the least total cost.

  No gradient passes. Where several matchings cost the same, any may be returned.

  Args:
    cost: of each object `g` and prediction `t`; must be finite.

  Returns:
    Object of each prediction; -1 for predictions that are too many.
  """

  def solve(cost):
    objects, predictions = optax.assignment.hungarian_algorithm(cost)
    none = jnp.full(cost.shape[1], -1, jnp.int32)
    return none.at[predictions].set(objects.astype(jnp.int32))

  return jax.lax.map(solve, jax.lax.stop_gradient(jnp.asarray(cost)))


def reorder(truth: AnyArray, matched: Int[AnyArray, "b t"]) -> Array:
  """What each prediction is compared with; zeros for those that stand for nothing.

  Args:
    truth: [b g ...] any values of objects.
    matched: from `match`.
  """
  expand = (1,) * (truth.ndim - 2)
  index = matched.reshape(*matched.shape, *expand)
  taken = jnp.take_along_axis(jnp.asarray(truth), jnp.maximum(index, 0), axis=1)
  return jnp.where(index >= 0, taken, jnp.zeros((), taken.dtype))
