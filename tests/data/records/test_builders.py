"""What builders share: numbers in names, gaps, and the files of an item."""

from pathlib import Path

import pytest

from vosjax.data.formats import fbms
from vosjax.data.records import builders

pytestmark = pytest.mark.filterwarnings("default")  # tfds and its dependencies


@pytest.mark.parametrize(
  "name, number",
  [("cars1_01.jpg", 1), ("tennis012", 12), ("001_gt.png", 1), ("v2/frame0045.jpg", 45)],
)
def test_numbers_end_the_names_of_frames(name, number):
  assert builders.frame_number(name) == number


def test_a_name_without_number_is_refused():
  with pytest.raises(ValueError, match="cover.jpg: no frame number"):
    builders.frame_number("cover.jpg")


def test_gaps_in_even_steps_are_named():
  def video(*names):
    frames = tuple(Path(f"{name}.jpg") for name in names)
    return builders.VideoFiles("bus", frames, (None,) * len(frames))

  assert builders.gaps(video("00000", "00005", "00015", "00020")) == [
    "bus: no frame 00010"
  ]
  assert builders.gaps(video("00003", "00004", "00005")) == []
  assert builders.gaps(video("cars1_01", "cars1_09", "cars1_10")) == []


def test_all_files_of_an_item_are_found():
  video = builders.VideoFiles(
    "bus",
    (Path("a.jpg"),),
    (None,),
    boxes=(Path("a.xml"),),
    layers=(Path("1.png"),),
    objects={1: {"file": Path("b")}},
  )
  assert sorted(map(str, builders.paths(video))) == ["1.png", "a.jpg", "a.xml", "b"]


@pytest.mark.parametrize(
  "values, files, ordered",
  [
    ((85, 0, 170), ("a.pgm",), (0, 85, 170)),
    ((5, 0xFFFFFF, 0), ("a_gt.ppm",), (0xFFFFFF, 5, 0)),
    ((85, 170), ("a.pgm",), (85, 170)),
  ],
)
def test_background_of_fbms_is_black_or_in_colour_white(values, files, ordered):
  assert fbms.Definition(values, files).ordered_values == ordered
