"""Bipartite matching of predictions to objects, on the device."""

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int

from vosjax.ops.own_clips import on_own_clips
from vosjax.types import AnyArray

# Larger than the cost of any valid pair, so that padding is matched to padding.
PADDING_COST = 10.0


def valid_slots(valid: Bool[AnyArray, "b g"], o: int) -> Bool[Array, "b o"]:
  """Which of `o` predictions are matched: those with the index of a valid object."""
  return jnp.pad(valid, ((0, 0), (0, max(0, o - valid.shape[1]))))[:, :o]


def mask_padding(
  cost: Float[AnyArray, "b g o"], valid: Bool[AnyArray, "b g"]
) -> Float[Array, "b g o"]:
  """Sets the cost of pairs that involve padding to PADDING_COST.

  With n valid objects, n predictions are matched: prediction `i` takes part if and
  only if object `i` is valid, as in the released RSIS and RVOS.

  Args:
    cost: of each object `g` and prediction `o`.
    valid: which objects are no padding.
  """
  slots = valid_slots(valid, cost.shape[2])
  return jnp.where(valid[:, :, None] & slots[:, None], cost, PADDING_COST)


def match(cost: Float[AnyArray, "b g o"]) -> Int[Array, "b o"]:
  """Assigns objects to predictions at the least total cost.

  No gradient passes through it. Among matchings of equal cost any may be returned.

  Args:
    cost: of each object `g` and prediction `o`; must be finite.

  Returns:
    The object of each prediction; -1 for surplus predictions.
  """

  def solve(cost):
    objects, predictions = optax.assignment.hungarian_algorithm(cost)
    none = jnp.full(cost.shape[1], -1, jnp.int32)
    return none.at[predictions].set(objects.astype(jnp.int32))

  solve_each = on_own_clips(lambda costs: jax.lax.map(solve, costs))
  return solve_each(jax.lax.stop_gradient(jnp.asarray(cost)))


def reorder(truth: AnyArray, matched: Int[AnyArray, "b o"]) -> Array:
  """Values of the object of each prediction; zeros for predictions without one.

  Args:
    truth: [b g ...] any values of the objects.
    matched: from `match`.

  Returns:
    [b o ...] the same in the order of the predictions.
  """
  expand = (1,) * (truth.ndim - 2)
  index = matched.reshape(*matched.shape, *expand)
  taken = jnp.take_along_axis(jnp.asarray(truth), jnp.maximum(index, 0), axis=1)
  return jnp.where(index >= 0, taken, jnp.zeros((), taken.dtype))
