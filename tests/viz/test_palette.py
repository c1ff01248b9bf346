"""Colours of labels."""

import numpy as np

from vosjax import viz


def test_the_first_colors_are_those_of_davis():
  expected = [
    (0, 0, 0),
    (128, 0, 0),
    (0, 128, 0),
    (128, 128, 0),
    (0, 0, 128),
    (128, 0, 128),
    (0, 128, 128),
    (128, 128, 128),
    (64, 0, 0),
    (192, 0, 0),
  ]
  np.testing.assert_array_equal(viz.palette()[:10], expected)


def test_the_last_color_is_that_of_void():
  np.testing.assert_array_equal(viz.palette()[255], (224, 224, 192))


def test_the_palette_equals_that_of_stored_annotations(shared):
  from PIL import Image

  path = next((shared / "data" / "davis_mini" / "Annotations").rglob("*.png"))
  stored = np.array(Image.open(path).getpalette(), np.uint8).reshape(-1, 3)
  np.testing.assert_array_equal(viz.palette()[: len(stored)], stored)


def test_no_two_labels_share_a_color():
  for colors in (viz.palette(), viz.bright_palette()):
    assert len(np.unique(colors, axis=0)) == 256


def test_bright_colors_keep_their_hue():
  dark, bright = viz.palette()[1:].astype(int), viz.bright_palette()[1:].astype(int)
  np.testing.assert_array_equal(
    np.sign(np.diff(dark, axis=1)), np.sign(np.diff(bright, axis=1))
  )
  assert (bright >= dark).all()
