"""Losses against those of the official programs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vosjax.losses.orthogonality import orthogonality_penalty
from vosjax.losses.segmentation import (
  balanced_bce,
  binary_iou,
  binary_nll,
  mean_absolute_error,
  scaled_bce,
)


@pytest.fixture(scope="module")
def case(golden):
  return golden("cosnet/golden_losses.npz")


def released(probs, truth):
  return scaled_bce(probs, truth) + 0.8 * mean_absolute_error(probs, truth)


@pytest.mark.parametrize("i", [1, 2])
def test_terms_of_the_released_loss(case, i):
  probs, truth = jnp.asarray(case[f"prediction_{i}"]), case[f"label_{i}"] > 0
  assert truth.mean() == pytest.approx(case["positive_ratio"][i - 1])
  assert scaled_bce(probs, truth) == pytest.approx(case[f"wbce_{i}"], rel=3e-6)
  assert mean_absolute_error(probs, truth) == pytest.approx(case[f"l1_{i}"], rel=3e-6)
  gradient = jax.grad(released)(probs, truth)
  np.testing.assert_allclose(gradient, case[f"video_grad_{i}"], rtol=2e-5, atol=1e-9)


def test_sums_of_the_released_loss(case):
  first, second = (
    released(jnp.asarray(case[f"prediction_{i}"]), case[f"label_{i}"] > 0)
    for i in (1, 2)
  )
  assert first + second == pytest.approx(case["video_loss"], rel=3e-6)
  assert first == pytest.approx(case["group_video_loss"], rel=3e-6)
  assert 0.1 * first == pytest.approx(case["static_loss"], rel=3e-6)
  probs, truth = jnp.asarray(case["prediction_1"]), case["label_1"] > 0
  gradient = jax.grad(lambda p: 0.1 * released(p, truth))(probs)
  np.testing.assert_allclose(gradient, case["static_grad_1"], rtol=2e-5, atol=1e-9)


def test_corner_cases_of_the_released_loss(case):
  probs, truth = jnp.asarray(case["prediction_1"]), case["label_1"] > 0
  none, every = jnp.zeros_like(truth), jnp.ones_like(truth)
  assert scaled_bce(probs, every) == pytest.approx(case["wbce_all_positive"], rel=3e-6)
  assert scaled_bce(probs, none, min_positives=0) == case["wbce_no_positive"] == np.inf
  value, gradient = jax.value_and_grad(scaled_bce)(probs, none)
  assert jnp.isfinite(value) and jnp.isfinite(gradient).all()
  saturated = jnp.asarray(case["prediction_saturated"])
  value, gradient = jax.value_and_grad(scaled_bce)(saturated, truth)
  assert value == pytest.approx(case["wbce_saturated"], rel=3e-6)
  assert jnp.isfinite(gradient).all()


def test_balanced_bce(case):
  value = balanced_bce(jnp.asarray(case["prediction_1"]), case["label_1"] > 0)
  assert value == pytest.approx(case["paper_balanced_bce_mean"], rel=3e-6)


def test_only_orthogonal_matrices_have_no_penalty():
  basis, _ = np.linalg.qr(np.random.RandomState(0).standard_normal((8, 8)))
  basis = jnp.asarray(basis, jnp.float32)
  assert orthogonality_penalty(basis) == pytest.approx(0, abs=1e-10)
  assert orthogonality_penalty(2 * basis) == pytest.approx(9 * 8, rel=1e-5)


def test_likelihood_of_pixels():
  logits = jnp.array([2.0, -1.0, 2.0, -200.0])
  found = binary_nll(logits, jnp.array([True, True, False, True]))
  expected = [*np.log1p(np.exp([-2.0, 1.0, 2.0])), 200.0]
  np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_overlap_of_masks_in_valid_pixels():
  """Each of the three sets has a pixel of its own, which is void in the second case."""
  prediction = jnp.array([[True, True, True, False, False, False]])
  truth = jnp.array([[False, True, True, True, False, True]])
  everywhere = jnp.ones_like(truth)
  assert binary_iou(prediction, truth, everywhere) == pytest.approx(2 / 5)
  valid = everywhere.at[0, jnp.array([0, 1, 3])].set(False)
  assert binary_iou(prediction, truth, valid) == pytest.approx(1 / 2)
  assert binary_iou(prediction, truth, ~everywhere) == 1
