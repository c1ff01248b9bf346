"""Annotation files become object ids, as each dataset encodes them."""

import io

import numpy as np
import pytest
from PIL import Image

from vosjax.data.codecs.label_codings import CODINGS


def encoded(pixels, kind="PNG"):
  file = io.BytesIO()
  Image.fromarray(np.array(pixels, np.uint8)).save(file, kind)
  return file.getvalue()


def test_later_layers_lie_on_top_and_half_is_the_threshold():
  files = [encoded([[0, 127, 128, 255]]), encoded([[0, 0, 0, 255]], "BMP")]
  np.testing.assert_array_equal(CODINGS["layers"](files, (), "a"), [[0, 0, 1, 2]])


def test_layers_of_several_sizes_are_refused():
  with pytest.raises(ValueError, match="01: the masks of one frame differ in size"):
    CODINGS["layers"]([encoded([[0, 1]]), encoded([[0]])], (), "cars/01")


def test_values_are_grays_or_colours_and_others_are_background():
  gray = encoded([[7, 0, 9, 8]], "PPM")
  np.testing.assert_array_equal(
    CODINGS["values"]([gray], (0, 9, 7), "a"), [[2, 0, 1, 0]]
  )
  color = encoded([[[255, 255, 255], [1, 2, 3], [3, 2, 1]]], "PPM")
  np.testing.assert_array_equal(
    CODINGS["values"]([color], (0xFFFFFF, 0x010203), "a"), [[0, 1, 0]]
  )


@pytest.mark.parametrize("coding", CODINGS)
def test_a_broken_file_is_named(coding):
  with pytest.raises(ValueError, match="cars/01: not a complete image"):
    CODINGS[coding]([encoded([[0, 1]])[:40]], (0, 1), "cars/01")
