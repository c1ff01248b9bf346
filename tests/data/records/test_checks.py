"""Checks of downloads: numbers in file names, and gaps between them."""

import pytest

from vosjax.data.records import checks


@pytest.mark.parametrize(
  "name, number",
  [("cars1_01.jpg", 1), ("tennis012", 12), ("001_gt.png", 1), ("v2/frame0045.jpg", 45)],
)
def test_the_number_at_the_end_of_a_name_is_the_frame_number(name, number):
  assert checks.frame_number(name) == number


def test_a_name_without_number_is_refused():
  with pytest.raises(
    ValueError, match="cover.jpg: the file name ends with no frame number"
  ):
    checks.frame_number("cover.jpg")


@pytest.mark.parametrize(
  "names, lines",
  [
    (("00000", "00005", "00015", "00020"), ["bus: no frame 00010"]),
    (("00003", "00004", "00005"), []),
    (("cars1_01", "cars1_09", "cars1_10"), []),  # not only numbers
  ],
)
def test_gaps_in_even_steps_are_named(names, lines):
  assert checks.missing_numbers("bus", names) == lines
