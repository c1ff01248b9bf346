"""J, F and boundary maps of mask pairs equal the official toolkit bit for bit."""

import numpy as np
import pytest

from vosjax import metrics
from vosjax.metrics import boundary


def pairs(load, folder):
  """Each golden case with a function that reads its masks."""
  arrays = load(f"{folder}golden_pairs.npz")
  for case in load(f"{folder}golden_pairs.json"):
    shape = case["height"], case["width"]

    def mask(name, case=case, shape=shape):
      packed = arrays[f"{case['index']:03d}/{name}"]
      return np.unpackbits(packed, count=shape[0] * shape[1]).reshape(shape) > 0

    for name in ("J", "F", "bound_th", "radius", "has_void"):
      assert arrays[name][case["index"]] == case[name]
    assert arrays["shape"][case["index"]].tolist() == list(shape)
    yield case, mask


def check(case, mask):
  truth, prediction = mask("gt"), mask("pred")
  void = mask("void") if case["has_void"] else None
  tolerance = case["bound_th"]
  assert metrics.region_similarity(prediction, truth, void) == case["J"]
  assert (
    metrics.contour_accuracy(prediction, truth, void, tolerance=tolerance) == case["F"]
  )
  scored = True if void is None else ~void
  np.testing.assert_array_equal(
    metrics.boundary_map(truth & scored), mask("gt_boundary")
  )
  np.testing.assert_array_equal(
    metrics.boundary_map(prediction & scored), mask("pred_boundary")
  )
  assert boundary.matching_radius(truth.shape, tolerance) == case["radius"]


def test_pairs_equal_the_toolkit(golden):
  for case, mask in pairs(golden, "metrics/"):
    check(case, mask)


def test_real_pairs_equal_the_toolkit(shared_metrics):
  for case, mask in pairs(shared_metrics, ""):
    check(case, mask)


@pytest.mark.parametrize("height, width", [(1, 1), (5, 64), (7, 65), (33, 128)])
@pytest.mark.parametrize("radius", [1, 5, 40, 70])
def test_f_equals_plain_dilation_at_any_size(height, width, radius):
  rng = np.random.default_rng(0)
  prediction, truth = rng.random((2, height, width)) < 0.1
  edges = [metrics.boundary_map(mask) for mask in (prediction, truth)]
  points = [np.argwhere(edge) for edge in edges]
  if all(len(p) for p in points):
    squared = ((points[0][:, None] - points[1][None]) ** 2).sum(-1) <= radius**2
    p, r = squared.any(1).mean(), squared.any(0).mean()
    expected = 2 * p * r / (p + r) if p + r else 0.0
  else:
    expected = float(len(points[0]) == len(points[1]))
  got = metrics.contour_accuracy(prediction, truth, tolerance=radius)
  assert got == pytest.approx(expected, abs=1e-15)


def test_a_full_mask_has_no_boundary():
  assert not metrics.boundary_map(np.ones((5, 64), bool)).any()


def test_nonzero_integers_are_foreground():
  truth = np.zeros((8, 8), np.uint8)
  truth[2:5, 2:5] = 7
  assert metrics.region_similarity(truth, truth > 0) == 1.0
  assert metrics.contour_accuracy(truth, truth > 0) == 1.0


@pytest.mark.parametrize(
  "measure", [metrics.region_similarity, metrics.contour_accuracy]
)
def test_masks_of_different_sizes_are_refused(measure):
  masks = np.zeros((4, 5), bool), np.zeros((4, 6), bool)
  with pytest.raises(ValueError, match="prediction is 4x5 and truth is 4x6.*resize"):
    measure(*masks)
  with pytest.raises(ValueError, match="void is 4x6 and truth is 4x5"):
    measure(masks[0], masks[0], masks[1])


@pytest.mark.parametrize("tolerance", [0, -1, 1.5])
def test_meaningless_tolerances_are_refused(tolerance):
  mask = np.zeros((4, 5), bool)
  with pytest.raises(ValueError, match=f"tolerance is {tolerance}"):
    metrics.contour_accuracy(mask, mask, tolerance=tolerance)


def test_probabilities_are_refused():
  mask = np.zeros((4, 5), bool)
  with pytest.raises(ValueError, match="prediction is float64.*Threshold"):
    metrics.region_similarity(np.zeros((4, 5)), mask)
  with pytest.raises(ValueError, match=r"truth is bool \[1, 4, 5\]"):
    metrics.contour_accuracy(mask, mask[None])
