"""Parts of a video, their description, and frames by number or time."""

import dataclasses
import pathlib

import numpy as np
import pytest

from vosjax.media.video_frames import VideoFrames, describe, frame_number


@dataclasses.dataclass(frozen=True)
class Video(VideoFrames):
  """Frame k is filled with k; shown at 10 frames/s, from frame 60 on at 30."""

  files: tuple[pathlib.Path, ...] = (pathlib.Path("a.mp4"),)
  frame_names: tuple[str, ...] = tuple(f"{number:05d}" for number in range(90))
  size: tuple[int, int] = (2, 3)
  frames_per_second: float = 12.86
  warnings: tuple[str, ...] = ("one",)
  details: tuple[str, ...] = ("H.264",)

  @property
  def name(self):
    return "a.mp4"

  @property
  def times(self):
    return np.concatenate([np.arange(60) / 10, 6 + np.arange(30) / 30])

  def _read(self, index):
    return np.full((2, 3, 3), index, np.uint8)


def values(video):
  return [int(frame[0, 0, 0]) for frame in video]


def test_a_slice_keeps_names_and_times():
  part = Video()[10:80:30]
  assert values(part) == [10, 40, 70]
  assert part.frame_names == ("00010", "00040", "00070")
  np.testing.assert_allclose(part.times, [1, 4, 6 + 1 / 3])
  assert part.size == (2, 3) and part.warnings == ("one",)
  assert part.frames_per_second == pytest.approx(12.86 / 30)
  assert values(part[1:]) == [40, 70] and values(part[::-1]) == [70, 40, 10]
  assert part[-1][0, 0, 0] == 70 and len(part[5:]) == 0


@pytest.mark.parametrize("index", [90, -91])
def test_frames_beyond_the_end_are_named(index):
  with pytest.raises(IndexError, match=f"a.mp4: frame {index} of 90"):
    Video()[index]


def test_files_of_a_slice_are_those_of_its_frames():
  files = tuple(pathlib.Path(f"{number}.jpg") for number in range(90))
  assert Video(files)[3:9:2].files == (files[3], files[5], files[7])
  assert Video()[3:9:2].files == (pathlib.Path("a.mp4"),)


def test_a_video_is_described_in_one_line():
  assert describe(Video()) == (
    "a.mp4: 90 frames of 3x2, 12.86 frames/s (variable), H.264"
  )
  assert describe(Video()[0:60:2]) == (
    "a.mp4: 30 frames of 3x2, 6.43 frames/s, 00000 to 00058 by 2 of 90 frames, H.264"
  )
  assert describe(Video()[:1]).startswith("a.mp4: 1 frame of")


@pytest.mark.parametrize(
  ("text", "number"),
  [
    ("0", 0),
    ("12", 12),
    ("90", 90),
    ("1.5s", 15),
    ("1.59s", 15),
    ("0:06.5", 75),
    ("00:00:06", 60),
    ("7s", 89),
  ],
)
def test_a_frame_is_meant_by_number_or_time(text, number):
  assert frame_number(text, Video()) == number


def test_a_time_to_stop_at_leaves_out_what_is_shown_later():
  assert frame_number("1.5s", Video(), end=True) == 15
  assert frame_number("1.51s", Video(), end=True) == 16
  assert frame_number("7s", Video(), end=True) == 90


@pytest.mark.parametrize(
  ("text", "said"),
  [
    ("91", "frame 91 is beyond the end: a.mp4 has 90 frames"),
    ("1:00", "1:00 is beyond the end: a.mp4 is 7.0"),
    ("-1", "'-1' is neither the number of a frame .12. nor a time"),
    ("twelve", "'twelve' is neither"),
    ("1.5", "'1.5' is neither"),
    ("9" * 5000, "is neither"),
    ("9" * 400 + "s", "is neither"),
  ],
)
def test_other_texts_say_what_is_expected(text, said):
  with pytest.raises(ValueError, match=said):
    frame_number(text, Video())


def test_results_are_called_after_the_file_or_the_folder(tmp_path, monkeypatch):
  @dataclasses.dataclass(frozen=True)
  class Named(Video):
    path: str = ""

    @property
    def name(self):
      return self.path

  (tmp_path / "take.1").mkdir()
  monkeypatch.chdir(tmp_path / "take.1")
  for path, stem in ((".", "take.1"), ("../take.1", "take.1"), ("a.b.mp4", "a.b")):
    assert Named(path=path).stem == stem


def test_frames_have_one_suffix_or_none():
  files = [pathlib.Path(f"{number}.jpg") for number in range(90)]
  assert Video(tuple(files)).frame_suffix == ".jpg"
  assert Video(tuple(files))[5:6].frame_suffix == ".jpg"
  assert Video()[5:6].frame_suffix is None  # of one file
  files[7] = pathlib.Path("7.png")
  assert Video(tuple(files)).frame_suffix is None
