"""Labels drawn over frames."""

import numpy as np
import pytest
from scipy import ndimage

from vosjax import viz

FRAME = np.full((60, 80, 3), 90, np.uint8)


def labels_with(value, dtype=np.uint8):
  labels = np.zeros((60, 80), dtype)
  labels[20:40, 30:60] = value
  return labels


def test_background_far_from_objects_is_untouched():
  image = viz.overlay(FRAME, labels_with(1))
  np.testing.assert_array_equal(image[:15], FRAME[:15])
  np.testing.assert_array_equal(image[:, :25], FRAME[:, :25])


def test_objects_are_tinted_in_the_colour_of_their_label():
  for label in (1, 2, 7):
    image = viz.overlay(FRAME, labels_with(label), alpha=0.5)
    expected = 0.5 * 90 + 0.5 * viz.bright_palette()[label].astype(float)
    np.testing.assert_allclose(image[30, 45], expected, atol=1)


def test_void_is_tinted_half_as_much_and_has_no_outline():
  image = viz.overlay(FRAME, labels_with(255), alpha=0.5)
  expected = 90 + 0.25 * (viz.bright_palette()[255].astype(float) - 90)
  np.testing.assert_allclose(image[30, 45], expected, atol=1)
  np.testing.assert_allclose(image[20, 45], image[30, 45])


def test_outlines_are_visible_and_can_be_left_out():
  with_lines = viz.overlay(FRAME, labels_with(3)).astype(int)
  without = viz.overlay(FRAME, labels_with(3), contours=False).astype(int)
  assert with_lines[20, 45].sum() > without[20, 45].sum() + 60
  assert with_lines[19, 45].sum() < 3 * 90  # the dark line outside
  np.testing.assert_array_equal(without[20, 45], without[30, 45])


def test_without_objects_or_opacity_nothing_changes():
  np.testing.assert_array_equal(viz.overlay(FRAME, labels_with(0)), FRAME)
  flat = viz.overlay(FRAME, labels_with(5), alpha=0.0, contours=False)
  np.testing.assert_array_equal(flat, FRAME)


def test_labels_may_be_masks_or_wide_integers():
  expected = viz.overlay(FRAME, labels_with(1))
  for dtype in (bool, np.int32, np.int64):
    np.testing.assert_array_equal(viz.overlay(FRAME, labels_with(1, dtype)), expected)


@pytest.mark.parametrize(
  ("labels", "alpha", "text"),
  [
    (np.zeros((30, 40), np.uint8), 0.5, "labels are 40x30, the frame is 80x60"),
    (labels_with(1), 1.5, r"alpha is 1.5; expected a number in \[0, 1\]"),
    (labels_with(300, np.int32), 0.5, "labels range from 0 to 300"),
  ],
)
def test_wrong_arguments_are_named(labels, alpha, text):
  with pytest.raises(ValueError, match=text):
    viz.overlay(FRAME, labels, alpha=alpha)


def test_an_object_at_the_edge_of_the_frame_is_drawn_as_if_the_frame_were_larger():
  frame, labels = np.full((80, 100, 3), 90, np.uint8), np.zeros((80, 100), np.uint8)
  labels[:30, 40:100] = 2
  labels[30:50, 20:60] = 255
  inner = viz.overlay(frame, labels)[:60, :80]
  np.testing.assert_array_equal(
    viz.overlay(frame[:60, :80], labels[:60, :80])[:56, :76], inner[:56, :76]
  )


def test_lines_are_as_smooth_as_a_gaussian_of_their_mask():
  """Opacity across an outline equals that of a Gaussian of 0.7 pixels."""
  labels = np.zeros((480, 480), np.uint8)
  labels[:, 200:] = 1  # outlines are 2 pixels wide
  black = np.zeros((480, 480, 3), np.uint8)
  line = viz.overlay(black, labels, alpha=0.0)[240, 196:208].astype(float)
  mask = np.zeros(480)
  mask[200:202] = 1
  smooth = np.minimum(1, 1.35 * ndimage.gaussian_filter1d(mask, 0.7)) * (labels[0] > 0)
  color = viz.bright_palette()[1].astype(float)
  lighter = color + 0.25 * (255 - color)
  np.testing.assert_allclose(line, smooth[196:208, None] * lighter, atol=6)
