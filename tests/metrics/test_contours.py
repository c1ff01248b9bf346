"""Polygons and resampled contours equal the toolkit's, point by point."""

import numpy as np
import pytest

from vosjax.metrics import contours, shape_context

SEQUENCES = [
  f"{s}/{k}" for s in ("blob-one", "blob-two", "blob-three") for k in ("gt", "pert")
]


def per_frame(arrays, name, points, counts):
  """Concatenated points, split into those of each scored frame."""
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


@pytest.mark.parametrize("name", SEQUENCES)
def test_contours_equal_the_toolkit(name, golden):
  sequence, kind = name.split("/")
  masks = golden(f"metrics/inputs_{sequence}.npz")[kind]
  check(masks, golden("metrics/golden_tstab.npz"), name, range(len(masks) - 2))


@pytest.mark.parametrize("sequence", ["blackswan", "car-shadow", "kite-surf"])
def test_real_contours_equal_the_toolkit(sequence, shared_metrics):
  arrays = shared_metrics("golden_tstab.npz")
  inputs = shared_metrics(f"inputs_{sequence}.npz")
  for kind in ("gt", "pert"):
    frames = range(0, len(inputs[kind]) - 2, 12)
    check(inputs[kind], arrays, f"{sequence}/{kind}", frames)


def test_outer_contours_run_clockwise_and_holes_against():
  mask = np.zeros((30, 40), bool)
  mask[5:25, 5:35] = True
  mask[10:20, 12:28] = False
  hole, outer = contours.polygons(mask)  # the junction numbered last comes first
  assert outer.tolist() == [[5, 5], [35, 5], [35, 25], [5, 25], [5, 5]]
  assert hole.tolist() == [[12, 10], [12, 20], [28, 20], [28, 10], [12, 10]]


def test_a_mask_that_fills_the_image_has_its_border_as_contour():
  polygon = contours.longest_polygon(np.ones((20, 30), bool))
  assert polygon.tolist() == [[0, 0], [30, 0], [30, 20], [0, 20], [0, 0]]


def test_small_specks_are_no_contours():
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
