"""Videos from folders and files; the command line's errors are tested with it."""

import numpy as np
import pytest
from PIL import Image

from vosjax.media import read
from vosjax.media.write import video_writer

SIZE = (24, 34)
GRAYS = (0, 60, 120, 180, 240)


@pytest.fixture
def video_file(tmp_path):
  """Five frames, each of one gray."""
  path = tmp_path / "video.mp4"
  with video_writer(path, SIZE, 25.0) as write:
    for gray in GRAYS:
      write(np.full((*SIZE, 3), gray, np.uint8))
  return path


def gray_of(frame):
  return int(frame.mean().round(-1))


def test_a_video_file_has_names_size_and_speed(video_file):
  video = read.read_video(video_file)
  assert video.frame_names == ("00000", "00001", "00002", "00003", "00004")
  assert len(video) == 5 and video.size == SIZE
  assert video.frames_per_second == pytest.approx(25)
  assert tuple(map(gray_of, video)) == GRAYS


def test_the_rotation_in_the_metadata_is_applied(tmp_path):
  import av

  image = np.zeros((32, 48, 3), np.uint8)
  image[:16] = 255
  with av.open(str(tmp_path / "phone.mp4"), "w") as file:
    stream = file.add_stream("h264", rate=24, width=48, height=32)
    stream.set_display_rotation(90)
    for frame in (av.VideoFrame.from_ndarray(image), None):
      file.mux(stream.encode(frame))
  video = read.read_video(tmp_path / "phone.mp4")
  assert video.size == (48, 32)
  columns = video[0].mean(axis=(0, 2))
  np.testing.assert_allclose(columns, np.rot90(image).mean(axis=(0, 2)), atol=9)


def test_frames_of_a_folder_are_in_the_order_of_their_numbers(tmp_path):
  for number in (8, 9, 10, 11):
    Image.new("RGB", SIZE[::-1]).save(tmp_path / f"frame{number}.png")
  video = read.read_video(tmp_path)
  assert video.frame_names == ("frame8", "frame9", "frame10", "frame11")
  assert video.size == SIZE


@pytest.mark.parametrize("mode", ["L", "I;16", "RGBA", "P"])
def test_frames_can_have_any_mode_that_means_one_rgb_image(mode, tmp_path):
  gray = np.arange(SIZE[0] * SIZE[1], dtype=np.uint16).reshape(SIZE) % 256
  image = Image.fromarray(gray.astype(np.uint8))
  image = Image.fromarray(gray * 257) if mode == "I;16" else image.convert(mode)
  image.save(tmp_path / "0.png")
  np.testing.assert_array_equal(read.read_video(tmp_path)[0], np.stack([gray] * 3, -1))
