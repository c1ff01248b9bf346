"""T equals the DAVIS 2016 toolkit, ties of its shortest paths included."""

import numpy as np
import pytest

from vosjax import metrics
from vosjax.metrics import grid_path, shape_context, stability


def check_series(load, name, frames):
  """Compares the values of pairs of consecutive scored frames."""
  video, kind = name.split("/")
  masks = load(f"inputs_{video}.npz")[kind][1:-1][frames]
  expected = load("golden_tstab.npz")[f"{name}/T_raw"][1:-1][frames][: len(masks) - 1]
  found = stability.stability_series(masks)
  np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)
  return found


@pytest.fixture
def blobs(golden):
  return lambda name: golden(f"metrics/{name}")


@pytest.mark.parametrize(
  ("name", "frames"),
  [
    ("blob-one/gt", slice(0, 3)),
    ("blob-one/pert", slice(5, 11)),  # masks without contours between others
    ("blob-three/pert", slice(9, 12)),
    # The value depends on how the toolkit's heap breaks ties.
    ("blob-one/pert", slice(16, 18)),
    ("blob-two/gt", slice(9, 11)),
    ("blob-two/gt", slice(24, 26)),
  ],
)
def test_series_equal_the_toolkit(name, frames, blobs):
  check_series(blobs, name, frames)


@pytest.mark.parametrize(
  ("name", "frames"),
  [  # pairs whose value depends on how the toolkit's heap breaks ties
    ("kite-surf/pert", slice(25, 27)),
    ("car-shadow/gt", slice(14, 16)),
  ],
)
def test_real_series_equal_the_toolkit(name, frames, shared_metrics):
  check_series(shared_metrics, name, frames)


@pytest.mark.slow
@pytest.mark.parametrize("video", ["blob-one", "blob-two", "blob-three"])
@pytest.mark.parametrize("kind", ["gt", "pert"])
def test_whole_series_equal_the_toolkit(video, kind, blobs):
  check_whole_series(blobs, f"{video}/{kind}")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["blackswan/gt", "car-shadow/pert"])
def test_whole_real_series_equal_the_toolkit(name, shared_metrics):
  check_whole_series(shared_metrics, name)


def check_whole_series(load, name):
  found = check_series(load, name, slice(None))
  mean = load("golden_tstab.json")[name]["T_mean"]
  assert metrics.nan_mean(found) == pytest.approx(mean, abs=1e-12)


def test_stability_is_the_mean_of_the_series(blobs):
  masks = blobs("inputs_blob-one.npz")["pert"][7:13]
  series = stability.stability_series(masks)
  assert np.isnan(series).any()
  assert metrics.temporal_stability(masks) == metrics.nan_mean(series) > 0


@pytest.mark.parametrize("name", ["kite-surf/pert/25", "car-shadow/pert/24"])
def test_histograms_costs_and_paths_equal_the_toolkit(name, shared_metrics):
  arrays = shared_metrics("golden_tstab_detail.npz")
  case = {k.removeprefix(f"{name}/"): arrays[k] for k in arrays if name in k}
  descriptors = []
  for frame in "ab":
    points = case[f"samples_{frame}"]
    counts = shape_context.count_contexts(points)
    np.testing.assert_array_equal(counts, case[f"hist_{frame}"])
    descriptors.append(shape_context.shape_contexts(points))
  costs = shape_context.matching_costs(*descriptors)
  np.testing.assert_array_equal(costs, case["cost"])
  first = grid_path.cheapest_path(costs)
  np.testing.assert_array_equal(first[::-1], case["path1"])
  rolled = np.roll(costs, -(case["anchor"] + 1), (0, 1))
  np.testing.assert_array_equal(grid_path.cheapest_path(rolled)[::-1], case["path2"])
  pairs = np.stack(stability._match(costs), -1)
  assert sorted(pairs.tolist()) == sorted(case["pairs"].tolist())
  cost = costs[tuple(pairs.T)].mean()
  assert stability.SCALE * cost == pytest.approx(case["T"], abs=1e-9)


def test_points_from_twice_the_mean_distance_on_are_not_counted():
  two = np.array([[0, 0], [3, 4]], np.float32)  # 5 apart, 2.5 on average
  assert shape_context.count_contexts(two).sum(1).tolist() == [1, 1]
  three = np.array([[0, 0], [3, 4], [3, 4]], np.float32)
  assert shape_context.count_contexts(three).sum(1).tolist() == [1, 2, 2]


@pytest.mark.parametrize("shape", [(1, 1), (1, 6), (6, 1), (2, 2), (5, 8), (9, 4)])
def test_both_algorithms_find_the_cheapest_path(shape):
  rng = np.random.default_rng(0)
  for _ in range(20):
    costs = rng.random(shape)  # no ties
    path = grid_path.cheapest_path(costs)
    assert np.array_equal(grid_path._path_by_heap(costs), path)
    assert path[0].tolist() == [0, 0] and tuple(path[-1] + 1) == shape
    # Steps of at most one row and column, at the least total over all paths.
    steps = map(tuple, np.diff(path, axis=0).tolist())
    assert set(steps) <= {(0, 1), (1, 0), (1, 1)}
    total = costs[tuple(path.T)].sum() - costs[0, 0]
    assert total == pytest.approx(least_total(costs))


def least_total(costs):
  """Cost of the cheapest path by dynamic programming, one cell at a time."""
  total = np.full(np.add(costs.shape, 1), np.inf)
  for i, j in np.ndindex(costs.shape):
    before = min(total[i, j], total[i, j + 1], total[i + 1, j])
    total[i + 1, j + 1] = costs[i, j] + before if i or j else 0.0
  return total[-1, -1]


def test_a_rigid_motion_is_stable_and_a_change_of_shape_is_not():
  masks = np.zeros((5, 60, 90), np.uint8)
  for t in range(5):
    masks[t, 10:30, 10 + 8 * t : 40 + 8 * t] = 3
  assert metrics.temporal_stability(masks) == pytest.approx(0, abs=1e-12)
  masks[::2, 20:30, 20:70] = 0
  assert metrics.temporal_stability(masks) > 0.1


def test_pairs_without_two_contours_are_ignored():
  masks = np.zeros((4, 40, 40), bool)
  masks[:2, 5:25, 5:30] = True
  assert np.isnan(stability.stability_series(masks)).tolist() == [False, True, True]
  assert metrics.temporal_stability(masks) == pytest.approx(0, abs=1e-12)
  assert np.isnan(metrics.temporal_stability(masks[2:]))
  assert np.isnan(metrics.temporal_stability(masks[:1]))


@pytest.mark.parametrize(
  "masks", [np.zeros((4, 5), bool), np.zeros((2, 4, 5), np.float32)]
)
def test_arrays_that_are_not_masks_are_refused(masks):
  with pytest.raises(ValueError, match=r"masks are (bool|float32) \["):
    metrics.temporal_stability(masks)
