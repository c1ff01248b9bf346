"""Outputs that are videos: overlay, green screen, and video with an alpha channel."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from jaxtyping import UInt8

from vosjax import viz
from vosjax.media.outputs.frame import SegmentedFrame, naming_frame
from vosjax.media.outputs.output import Output
from vosjax.media.outputs.video_parts import Timing, VideoParts
from vosjax.media.pipeline import Background, num_workers
from vosjax.media.write import Codec, EncoderFrame

VP9_ALPHA = Codec(
  "libvpx-vp9",
  "yuva420p",
  {
    "crf": "24",
    "b": "0",  # crf alone decides
    "deadline": "realtime",
    "cpu-used": "6",
    "row-mt": "1",
    "auto-alt-ref": "0",  # hidden frames and alpha exclude each other
  },
  has_alpha=True,
)
PRORES_4444 = Codec("prores_ks", "yuva444p10le", {"profile": "4444"}, has_alpha=True)
GREEN = (0, 177, 64)  # of studio screens
_AHEAD = 4  # drawn frames that wait for the encoder, besides those that are drawn


class DrawnVideo(Output):
  """A video whose frames are drawn in several threads and encoded in another.

  Args:
    parts: of the video.
    draw: makes the image of a frame.
    timing: returns when frames are shown, after the last one.
  """

  def __init__(
    self,
    parts: VideoParts,
    draw: Callable[[SegmentedFrame], UInt8[np.ndarray, "h w c"]],
    timing: Callable[[], Timing],
  ):
    self._parts, self._draw, self._timing = parts, draw, timing
    workers = num_workers()
    self._drawers = ThreadPoolExecutor(workers, f"draw {parts.path.name}")
    self._encoder = Background(f"encode {parts.path.name}", ahead=workers + _AHEAD)

  def write(self, frame: SegmentedFrame) -> None:
    drawn = self._drawers.submit(self._draw_frame, frame)
    self._encoder.submit(self._encode, frame.name, drawn)

  def _draw_frame(self, frame: SegmentedFrame) -> EncoderFrame:
    return self._parts.convert(self._draw(frame))

  def _encode(self, name: str, drawn: "Future[EncoderFrame]") -> None:
    with naming_frame(name):
      self._parts.write(drawn.result())

  def checkpoint(self) -> None:
    self._encoder.wait()
    self._parts.close_part()

  def finish(self) -> None:
    self._parts.join(self._timing())

  def close(self, error: BaseException | None) -> None:
    try:
      self._encoder.close(error)
    except BaseException as first:
      error = first
      raise
    finally:
      self._drawers.shutdown(cancel_futures=True)
      if error is not None:
        self._parts.abandon(error)


def draw_overlay(frame: SegmentedFrame) -> UInt8[np.ndarray, "h w 3"]:
  """The frame with tinted objects and their outlines."""
  return viz.overlay(frame.image, frame.labels)


def draw_green(frame: SegmentedFrame) -> UInt8[np.ndarray, "h w 3"]:
  """The objects before a green screen."""
  opacity = frame.alpha[..., None].astype(np.uint16)
  screen = np.array(GREEN, np.uint16)
  mixed = frame.image * opacity + screen * (255 - opacity)
  return ((mixed + 127) // 255).astype(np.uint8)


def draw_alpha(frame: SegmentedFrame) -> UInt8[np.ndarray, "h w 4"]:
  """The frame as RGBA, transparent outside of the objects."""
  return np.dstack([frame.image, frame.alpha])
