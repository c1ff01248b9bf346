"""Streams: frames that come one after the other, without a known end.

Standard input, a named pipe, a camera or an address that FFmpeg opens. Memory is that
of a single frame, however long a stream lasts.
"""

import itertools
import pathlib
import stat
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import UInt8

from vosjax.data.codecs import images
from vosjax.data.codecs.bit_depth import deep_warning
from vosjax.media import decoding, pixels
from vosjax.media.frame_folder import FRAMES_PER_SECOND
from vosjax.media.pyav import load_pyav

STANDARD_INPUT = "-"
_HIGHEST_RATE = 1000.0  # frames per second
_SECONDS_TO_OPEN = 15.0
_SECONDS_WITHOUT_DATA = 30.0  # of an address, after which it counts as broken
# The format and name of camera N
_CAMERAS = {
  "linux": ("v4l2", "/dev/video{}"),
  "darwin": ("avfoundation", "{}"),
}


def is_stream(source: str) -> bool:
  """Whether a source is to be read by `open_stream` rather than as a file or folder."""
  if source == STANDARD_INPUT or "://" in source:
    return True
  path = pathlib.Path(source)
  if not path.exists():
    return source.isdecimal()  # a camera
  mode = path.stat().st_mode
  return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)


class FrameStream:
  """An iterator of (seconds, RGB frame) that ends when the source does.

  A stream that breaks off ends as well, after what could be decoded; `problem` then
  says what happened. Use it as a context manager, which closes the source.

  Attributes:
    name: of the source, for messages.
    size: (height, width) of every frame.
    frames_per_second: as the source states it; 24 if it does not.
    warnings: what a user must know; each is one line.
    num_lost: packets that could not be decoded so far.
    problem: why the stream ended early; None as long as it has not.
  """

  def __init__(self, name: str, container: Any, stream: Any):
    """Waits for the first frame.

    Args:
      name: of the source.
      container: opened by PyAV; closed with this object.
      stream: of video, in the container.

    Raises:
      ValueError: the source ends before the first frame.
    """
    self.name = name
    self.problem: str | None = None
    self._container = container
    self._errors: list[str] = []
    self._frames = decoding.decode(container, stream, self._errors, ahead=False)
    first = next(self._frames, None)
    if first is None:
      reason = f" ({self._errors[0]})" if self._errors else ""
      raise ValueError(
        f"{name}: ends before its first frame{reason}. An MP4 can be read as a stream "
        "if its index comes first (ffmpeg -movflags +faststart)."
      )
    self._frames = itertools.chain([first], self._frames)
    self._orientation = pixels.orientation_of(first)
    self._start: float | None = first.time
    self.size = pixels.upright_size(first, self._orientation)
    rate = float(stream.average_rate or stream.guessed_rate or 0)
    # Where nothing is known of the rate, FFmpeg guesses the resolution of the times.
    self.frames_per_second = rate if 0 < rate < _HIGHEST_RATE else FRAMES_PER_SECOND
    deep = pixels.deep_values(first)
    self._bits = 16 if deep is None else images.significant_bits(int(deep.max()))
    self.warnings = () if self._bits == 16 else (deep_warning(name, self._bits),)

  @property
  def num_lost(self) -> int:
    return len(self._errors)

  def __iter__(self) -> Iterator[tuple[float, UInt8[np.ndarray, "h w 3"]]]:
    """Yields each frame with its seconds since the first one.

    Raises:
      ValueError: frames change their size.
    """
    latest = -1 / self.frames_per_second
    for frame in self._frames:
      if pixels.upright_size(frame, self._orientation) != self.size:
        self.problem = f"{self.name}: frames change their size after {latest:.2f} s."
        return
      if frame.time is not None and self._start is not None:
        latest = max(frame.time - self._start, latest)
      else:
        latest += 1 / self.frames_per_second
      yield latest, pixels.to_rgb(frame, self._orientation, self._bits)
    if self._errors:
      self.problem = (
        f"{self.name}: broke off or was damaged, up to {latest:.2f} s "
        f"({self._errors[-1]})."
      )

  def close(self) -> None:
    """Closes the source; frames that were not read are lost."""
    self._container.close()

  def __enter__(self) -> "FrameStream":
    return self

  def __exit__(self, *_: object) -> None:
    self.close()


def open_stream(source: str) -> FrameStream:
  """Opens a source of frames and waits for the first one.

  Args:
    source: `-` for a video file on standard input, a named pipe, the number of a
      camera, or an address such as `rtsp://...` or `http://...`.

  Raises:
    ValueError: nothing can be read there.
  """
  av = load_pyav(f"{source}: streams", ", or give a folder of frames")
  name, target, options = _locate(source)
  try:
    container = decoding.open_container(target, **options)
    stream = decoding.video_streams(container, name)[0]
    return FrameStream(name, container, stream)
  except (av.FFmpegError, OSError) as error:
    reason = getattr(error, "strerror", None) or str(error)
    raise ValueError(f"{name}: cannot be read as a video ({reason}).") from error


def _locate(source: str) -> tuple[str, Any, dict[str, Any]]:
  """The name of a source, what PyAV opens for it, and with which options."""
  if source == STANDARD_INPUT:
    return "standard input", sys.stdin.buffer, {}
  if "://" in source:
    return source, source, {"timeout": (_SECONDS_TO_OPEN, _SECONDS_WITHOUT_DATA)}
  if source.isdecimal() and not pathlib.Path(source).exists():
    if sys.platform not in _CAMERAS:
      raise ValueError(
        f"{source}: cameras are read on Linux and macOS. Give a file, or an address."
      )
    kind, device = _CAMERAS[sys.platform]
    return f"camera {source}", device.format(source), {"format": kind}
  return source, f"file:{source}", {}
