"""Matching on the device against SciPy and the official programs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from vosjax.losses.matching import PADDING_COST, mask_padding, match, reorder

solve = jax.jit(match)


def total(cost, matched):
  """Cost of a matching, after checking that it is one."""
  found = [(g, t) for t, g in enumerate(np.asarray(matched)) if g >= 0]
  assert len(found) == min(cost.shape)
  assert len({g for g, _ in found}) == len(found)
  return sum(float(cost[g, t]) for g, t in found)


@pytest.mark.parametrize("shape", [(5, 5), (3, 6), (6, 3)])
def test_costs_are_as_low_as_those_of_scipy(shape):
  rng = np.random.default_rng(0)
  random = rng.standard_normal((40, *shape), np.float32)
  tied = rng.integers(0, 3, (40, *shape)).astype(np.float32)
  cost = np.concatenate([random, tied])
  for one, matched in zip(cost, solve(cost)):
    best = one[linear_sum_assignment(one)].sum()
    assert total(one, matched) == pytest.approx(best, abs=1e-5)


@pytest.mark.parametrize("name", ["A", "B", "C"])
def test_padding_and_permutations_equal_the_official_ones(golden, name):
  case = golden("rvos/golden_losses.npz")
  valid = case[f"{name}_sw"] > 0
  cost = mask_padding(case[f"{name}_cost"], jnp.asarray(valid))
  np.testing.assert_allclose(cost, case[f"{name}_cost_masked"], rtol=1e-6)
  t = cost.shape[2]
  expected = case[f"{name}_permutation"][:, :t]
  matched = np.asarray(solve(cost))
  np.testing.assert_array_equal(matched[expected >= 0], expected[expected >= 0])
  for b, t in zip(*np.nonzero(expected < 0)):  # padding stays with padding
    assert not valid[b][matched[b, t]]


def test_more_predictions_than_objects_leave_some_without():
  cost = np.float32([[[3, 1, 2, 0], [0, 5, 5, 5]]])
  valid = jnp.array([[True, True]])
  masked = np.asarray(mask_padding(cost, valid))
  assert (masked[:, :, 2:] == PADDING_COST).all()
  np.testing.assert_array_equal(solve(masked), [[1, 0, -1, -1]])
  truth = np.arange(1, 3).reshape(1, 2, 1, 1)
  ordered = reorder(truth, solve(masked))
  np.testing.assert_array_equal(ordered.ravel(), [2, 1, 0, 0])
  np.testing.assert_array_equal(truth.ravel(), [1, 2])  # not permuted in place


def test_no_gradient_passes_through_the_matching():
  cost = jnp.asarray(np.random.default_rng(0).random((1, 3, 3), np.float32))

  def assigned(cost):
    return reorder(cost, match(cost)).sum()

  matched = np.asarray(match(cost))[0]
  expected = np.zeros((3, 3))
  expected[matched] = 1  # all of each taken row, and nothing through the choice
  np.testing.assert_array_equal(jax.grad(assigned)(cost)[0], expected)
