"""From light to file: brightness, colour, corners, blur, noise and compression."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from vosjax.data.synthvos.lens import CLEAR
from vosjax.data.synthvos.motion import Path

LIGHT = np.random.default_rng(0).integers(30, 200, (40, 64, 3)).astype(np.uint8)


def developed(exposure=LIGHT, index=0, **fields):
  lens = dataclasses.replace(CLEAR, **fields)
  (image,) = lens.develop([Image.fromarray(exposure)], np.array([index]), (1,))
  return image.astype(float)


def test_a_clear_lens_changes_nothing():
  np.testing.assert_array_equal(developed(), LIGHT)


def test_colours_are_multiplied_by_the_light_and_its_cast():
  light = Path(np.array([0.3]), np.array([np.pi / 2]), np.zeros(1))
  image = developed(cast=np.array([1.0, 0.5, 0.9]))
  assert np.abs(image - LIGHT * [1.0, 0.5, 0.9]).max() <= 0.5
  image = developed(index=1, light=light)
  assert np.abs(image - np.minimum(LIGHT * np.exp(0.3), 255)).max() <= 0.5


def test_corners_are_darker_than_the_middle():
  image = developed(np.full((41, 41, 3), 200, np.uint8), vignette=0.4)
  assert image[20, 20, 0] == 200
  assert image[0, 0, 0] == pytest.approx(200 * 0.6, abs=1)
  assert image[0, 20, 0] == pytest.approx(200 * 0.8, abs=1)


def test_blur_is_a_1_2_1_filter_in_both_directions():
  image = np.zeros((7, 7, 3), np.uint8)
  image[3, 3] = 160
  expected = 10 * np.outer([1, 2, 1], [1, 2, 1])
  np.testing.assert_array_equal(developed(image, soften=1)[2:5, 2:5, 0], expected)


def test_noise_has_its_deviation_and_depends_on_the_frame():
  grey = np.full((64, 64, 3), 128, np.uint8)
  image = developed(grey, noise=0.02)
  assert image.std() == pytest.approx(0.02 * 255, rel=0.05)
  assert abs(image.mean() - 128) < 0.2
  np.testing.assert_array_equal(image, developed(grey, noise=0.02))
  assert (image != developed(grey, index=1, noise=0.02)).mean() > 0.5


def test_a_lower_quality_changes_more():
  change = [np.abs(developed(quality=q) - LIGHT).mean() for q in (90, 20)]
  assert 0 < change[0] < change[1]
