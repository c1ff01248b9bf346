"""Polygons and sampled contours equal those of the toolkit, point by point."""

import numpy as np
import pytest

from vosjax.metrics import contours, shape_context


def per_frame(arrays, name, points, counts):
  """Splits concatenated points into those of each scored frame."""
  ends = np.cumsum(arrays[f"{name}/{counts}"])[:-1]
  return np.split(arrays[f"{name}/{points}"], ends)


def check(masks, arrays, name, frames):
  vertices = per_frame(arrays, name, "vertices", "n_vertices")
  samples = per_frame(arrays, name, "samples", "n_samples")
  for t in frames:
    mask = masks[t + 1] > 0  # the first frame is not scored
    assert len(contours.polygons(mask)) == arrays[f"{name}/n_contours"][t], (name, t)
    polygon = contours.longest_polygon(mask)
    if not len(vertices[t]):
      assert polygon is None, (name, t)
      continue
    np.testing.assert_array_equal(polygon, vertices[t], f"{name} {t}")
    points = shape_context.resample(polygon)
    np.testing.assert_array_equal(points, samples[t], f"{name} {t}")


@pytest.mark.parametrize("video", ["blob-one", "blob-two", "blob-three"])
@pytest.mark.parametrize("kind", ["gt", "pert"])
def test_contours_equal_the_toolkit(video, kind, golden):
  masks = golden(f"metrics/inputs_{video}.npz")[kind]
  frames = range(0, len(masks) - 2, 7)
  check(masks, golden("metrics/golden_tstab.npz"), f"{video}/{kind}", frames)


@pytest.mark.parametrize(
  ("video", "kind", "frame"),
  [("blackswan", "gt", 24), ("car-shadow", "pert", 14), ("kite-surf", "pert", 14)],
)
def test_real_contours_equal_the_toolkit(video, kind, frame, shared_metrics):
  arrays = shared_metrics("golden_tstab.npz")
  masks = shared_metrics(f"inputs_{video}.npz")[kind]
  check(masks, arrays, f"{video}/{kind}", [frame])


def test_outer_contours_run_clockwise_and_holes_counterclockwise():
  mask = np.zeros((30, 40), bool)
  mask[5:25, 5:35] = True
  mask[10:20, 12:28] = False
  hole, outer = contours.polygons(mask)  # the last junction comes first
  assert outer.tolist() == [[5, 5], [35, 5], [35, 25], [5, 25], [5, 5]]
  assert hole.tolist() == [[12, 10], [12, 20], [28, 20], [28, 10], [12, 10]]


def test_the_contour_of_a_full_mask_is_the_image_border():
  polygon = contours.longest_polygon(np.ones((20, 30), bool))
  assert polygon.tolist() == [[0, 0], [30, 0], [30, 20], [0, 20], [0, 0]]


def test_empty_masks_and_specks_have_no_contour():
  mask = np.zeros((20, 30), bool)
  assert contours.longest_polygon(mask) is None
  mask[7, 9] = True
  assert contours.longest_polygon(mask) is None


def test_points_are_at_most_three_pixels_apart():
  polygon = np.array([[0, 0], [10, 0], [10, 3], [0, 3], [0, 0]])
  points = shape_context.resample(polygon)
  assert len(points) == 1 + 4 + 1 + 4 + 1
  np.testing.assert_allclose(points[:5, 0], [0, 2.5, 5, 7.5, 10])
  np.testing.assert_array_equal(points[0], points[-1])


def test_the_last_of_equally_long_contours_is_the_longest():
  mask = np.zeros((30, 40), bool)
  mask[2:12, 2:12] = mask[15:25, 20:30] = True
  first, last = contours.polygons(mask)
  assert len(first) == len(last)
  assert contours.longest_polygon(mask).tolist() == last.tolist()


def test_outlines_turn_where_two_pixels_touch_diagonally():
  mask = np.random.default_rng(0).random((30, 30)) < 0.5
  cracks = contours._Cracks(mask)
  saddles = set(cracks.saddles)
  passed = 0
  for corner, midpoints in contours._loops(*contours._pieces(cracks), cracks.stride):
    for before, after in zip(midpoints, midpoints[1:]):
      corner = 2 * before - corner
      if corner in saddles:
        assert before - corner != corner - after, "straight through a saddle"
        passed += 1
  assert passed > 100
