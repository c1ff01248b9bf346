"""Definition files of FBMS: which pixel value is which region."""

import pytest

from vosjax.data.formats import fbms


@pytest.mark.parametrize(
  "values, files, ordered",
  [
    ((85, 0, 170), ("a.pgm",), (0, 85, 170)),
    ((5, 0xFFFFFF, 0), ("a_gt.ppm",), (0xFFFFFF, 5, 0)),
    ((85, 170), ("a.pgm",), (85, 170)),
  ],
)
def test_the_background_is_black_in_gray_and_white_in_colour_images(
  values, files, ordered
):
  assert fbms.Definition(values, files).ordered_values == ordered
