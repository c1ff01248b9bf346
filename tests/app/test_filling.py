"""A rectangle becomes the mask of what is in it."""

import numpy as np
import pytest

from vosjax.app.filling import fill_box

pytest.importorskip("cv2", reason="needs vosjax[app]")


def disc(size=(90, 140), center=(45, 60), radius=20):
  rows, columns = np.ogrid[: size[0], : size[1]]
  return (rows - center[0]) ** 2 + (columns - center[1]) ** 2 < radius**2


def scene(mask):
  """A red object on noisy green ground."""
  rng = np.random.default_rng(0)
  image = rng.integers(0, 60, (*mask.shape, 3), np.uint8)
  image[..., 1] += 100
  image[mask] = np.uint8([220, 40, 30]) + rng.integers(0, 25, (mask.sum(), 3), np.uint8)
  return image


@pytest.mark.parametrize("scale", [1, 8])
def test_the_object_in_the_rectangle_is_found(scale):
  mask = np.kron(disc(), np.ones((scale, scale), bool))
  box = tuple(scale * side for side in (34, 20, 86, 70))
  found = fill_box(scene(mask), box)
  assert (found & mask).sum() / (found | mask).sum() > 0.93
  np.testing.assert_array_equal(found, fill_box(scene(mask), box))


def test_a_rectangle_may_leave_the_image_and_may_be_all_of_it():
  mask = disc(center=(5, 5))
  found = fill_box(scene(mask), (-10, -10, 40, 40))
  assert (found & mask).sum() / (found | mask).sum() > 0.9
  assert fill_box(scene(mask), (-1, -1, 200, 200)).shape == mask.shape


def test_where_nothing_stands_out_the_rectangle_is_filled():
  image = np.full((40, 60, 3), 90, np.uint8)
  found = fill_box(image, (10, 10, 30, 30))
  assert found[10:30, 10:30].any()
  assert not found[:10].any() and not found[:, 40:].any()


@pytest.mark.parametrize("box", [(5, 5, 5, 9), (200, 5, 300, 50), (9, 9, 2, 2)])
def test_a_rectangle_without_pixels_is_refused(box):
  with pytest.raises(ValueError, match="Draw a larger one"):
    fill_box(np.zeros((40, 60, 3), np.uint8), box)
