"""Videos are drawn in several threads, and encoded in the order of their frames."""

import pathlib
import threading

import numpy as np
import pytest

from vosjax.media.outputs import videos
from vosjax.media.outputs.frame import SegmentedFrame
from vosjax.media.outputs.video_parts import VideoParts

TIMEOUT = 10.0  # seconds, after which a test that waits for a thread has failed


class Parts(VideoParts):
  """Notes what is written; converts nothing."""

  path = pathlib.Path("overlay.mp4")

  def __init__(self):
    self.written, self.closed = [], 0

  def convert(self, frame):
    return int(frame[0, 0, 0])

  def write(self, frame):
    self.written.append(frame)

  def close_part(self):
    self.closed += 1

  def abandon(self, error):
    self.abandoned = error


def frame(number):
  image = np.full((2, 2, 3), number, np.uint8)
  return SegmentedFrame(
    number, f"{number:05d}", number / 25, image, np.zeros((2, 2), np.uint8), ()
  )


def timing():
  raise AssertionError("only the end of a video asks for times")


@pytest.fixture(autouse=True)
def two_cores(monkeypatch):
  monkeypatch.setattr("vosjax.cores.available", lambda: 2)


def test_two_frames_are_drawn_at_a_time_and_written_in_order():
  together = threading.Barrier(2, timeout=TIMEOUT)

  def draw(frame):
    together.wait()  # breaks unless another frame is being drawn
    return frame.image

  parts = Parts()
  with videos.DrawnVideo(parts, draw, timing) as video:
    for number in range(10):
      video.write(frame(number))
    video.checkpoint()
  assert parts.written == list(range(10))
  assert parts.closed == 1


def test_an_error_of_drawing_names_its_frame():
  def draw(frame):
    if frame.index == 3:
      raise ValueError("no paint")
    return frame.image

  parts = Parts()
  with (
    pytest.raises(ValueError, match="frame 00003: no paint"),
    videos.DrawnVideo(parts, draw, timing) as video,
  ):
    for number in range(10):
      video.write(frame(number))
    video.checkpoint()
  assert parts.written == [0, 1, 2]
  assert isinstance(parts.abandoned, ValueError)
