"""RVOS's affine map, against the matrix of the released program."""

import numpy as np

from vosjax.data.transforms.affine import RandomAffine

RNG = np.random.default_rng


class Highest(np.random.Generator):
  """A generator that returns the upper end of every range."""

  def uniform(self, low, high, size=None):  # noqa: ARG002
    return high if size is None else np.full(size, high)


def clip(h=20, w=30, t=3):
  labels = RNG(0).integers(0, 9, (t, h, w), np.uint8)
  frames = np.repeat(labels[..., None] * 20, 3, axis=-1)
  return {"frames": frames, "labels": labels, "name": "v/0"}


def expected_source(h, w):
  """The input pixel of each output pixel, from the four maps one after the other."""
  angle, shear = np.deg2rad([10.0, 0.1])
  rows, columns = np.mgrid[:h, :w] - np.array([h / 2 - 0.5, w / 2 - 0.5])[:, None, None]
  rows, columns = 1.4 * rows, 1.4 * columns
  rows, columns = rows - np.sin(shear) * columns, np.cos(shear) * columns
  rows, columns = rows + 0.1 * h, columns + 0.1 * w
  rows, columns = (
    np.cos(angle) * rows - np.sin(angle) * columns,
    np.sin(angle) * rows + np.cos(angle) * columns,
  )
  return (
    np.rint(rows + h / 2 - 0.5).clip(0, h - 1).astype(int),
    np.rint(columns + w / 2 - 0.5).clip(0, w - 1).astype(int),
  )


def test_pixels_come_from_where_the_official_matrix_says():
  given = clip()
  seen = RandomAffine().random_map(given, Highest(np.random.PCG64()))
  rows, columns = expected_source(20, 30)
  np.testing.assert_array_equal(seen["labels"], given["labels"][:, rows, columns])
  np.testing.assert_array_equal(seen["frames"], given["frames"][:, rows, columns])


def test_zoom_above_one_shrinks_and_repeats_the_border():
  given = clip()
  given["labels"][:] = 1
  given["labels"][:, 5:15, 5:25] = 2
  seen = RandomAffine(0.0, 0.0, 0.0, (1.5, 1.5)).random_map(given, RNG(0))["labels"]
  assert 0 < (seen == 2).sum() < (given["labels"] == 2).sum()
  assert (seen[:, 0] == 1).all()


def test_frames_and_labels_move_together_and_draws_differ():
  views = [RandomAffine().random_map(clip(), RNG(i)) for i in range(5)]
  for view in views:
    np.testing.assert_array_equal(view["frames"][..., 0], view["labels"] * 20)
  assert len({view["labels"].tobytes() for view in views}) == 5


def test_ranges_of_zero_change_nothing():
  given = clip()
  seen = RandomAffine(0.0, 0.0, 0.0, (1.0, 1.0)).random_map(given, RNG(0))
  np.testing.assert_array_equal(seen["labels"], given["labels"])
