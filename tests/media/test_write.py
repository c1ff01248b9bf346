"""Palette PNGs and videos."""

import pathlib
from fractions import Fraction

import numpy as np
import pytest

from vosjax.media import read
from vosjax.media.write import to_rate, video_writer, write_labels


def test_odd_sizes_are_padded_not_scaled(tmp_path):
  path = tmp_path / "video.mp4"
  image = np.zeros((25, 33, 3), np.uint8)
  image[20:, 28:] = 255
  with video_writer(path, (25, 33), 24.0) as write:
    write(image)
  video = read.read_video(path)
  assert video.size == (26, 34)
  expected = np.pad(image, ((0, 1), (0, 1), (0, 0)), mode="edge")
  assert np.abs(video[0].astype(int) - expected).max() < 60  # H.264 is lossy


def test_a_video_that_fails_leaves_no_file(tmp_path):
  with (
    pytest.raises(KeyboardInterrupt),
    video_writer(tmp_path / "video.mp4", (24, 34), 24.0) as write,
  ):
    write(np.zeros((24, 34, 3), np.uint8))
    raise KeyboardInterrupt
  assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("value", "named"), [(256, 256), (-1, 1)])
def test_ids_that_do_not_fit_in_a_png_are_refused(value, named, tmp_path):
  labels = np.full((2, 3), value, np.int32)
  with pytest.raises(ValueError, match=f"label {named} does not fit in a palette PNG"):
    write_labels(tmp_path / "labels.png", labels)


def test_a_colon_in_a_relative_path_is_no_protocol(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  folder = pathlib.Path("take:1")
  folder.mkdir()
  with video_writer(folder / "video.mp4", (24, 34), 24.0) as write:
    write(np.zeros((24, 34, 3), np.uint8))
  assert (folder / "video.mp4").stat().st_size


@pytest.mark.parametrize(
  ("rate", "expected"), [(29.97002997, "30000/1001"), (24 / 60_000, "1/1001")]
)
def test_rates_are_fractions_above_0(rate, expected):
  assert to_rate(rate) == Fraction(expected)
