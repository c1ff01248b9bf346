"""J, F and boundary maps of mask pairs equal the official toolkit bit for bit."""

import numpy as np
import pytest

from vosjax import metrics
from vosjax.metrics import bits, boundary


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


def plain_f(prediction, truth, radius):
  """F by the definition: distances between all pairs of boundary pixels."""
  edges = [metrics.boundary_map(mask) for mask in (prediction, truth)]
  points = [np.argwhere(edge) for edge in edges]
  if not all(len(p) for p in points):
    return float(len(points[0]) == len(points[1]))
  matched = ((points[0][:, None] - points[1][None]) ** 2).sum(-1) <= radius**2
  precision, recall = matched.any(1).mean(), matched.any(0).mean()
  return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


@pytest.mark.parametrize("height, width", [(1, 1), (5, 64), (7, 65), (33, 128)])
@pytest.mark.parametrize("radius", [1, 5, 40, 70])
def test_f_equals_its_definition_at_any_size(height, width, radius):
  rng = np.random.default_rng(0)
  prediction, truth = rng.random((2, height, width)) < 0.1
  found = metrics.contour_accuracy(prediction, truth, tolerance=radius)
  assert found == pytest.approx(plain_f(prediction, truth, radius), abs=1e-15)


@pytest.mark.parametrize("radius", [0, 1, 2, 7, 20, 25, 40, 64, 70])
def test_a_dilated_pixel_is_a_disk(radius):
  pixel = np.zeros((1, 150, 320), bool)
  pixel[0, 75, 100] = True
  disk = bits.unpack(bits.dilate(bits.pack(pixel), radius), 240)[0]
  y, x = np.mgrid[:150, :240]
  np.testing.assert_array_equal(disk, (y - 75) ** 2 + (x - 100) ** 2 <= radius**2)


@pytest.mark.parametrize("left, right", [(64, 128), (63, 129), (65, 127), (0, 64)])
def test_f_equals_its_definition_at_the_edges_of_64_columns(left, right):
  truth = np.zeros((20, 200), bool)
  truth[5:15, left:right] = True
  prediction = truth.copy()
  prediction[5:15, left + 20 : right] = False
  found = metrics.contour_accuracy(prediction, truth, tolerance=1)
  assert found == pytest.approx(plain_f(prediction, truth, 1), abs=1e-15)


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
