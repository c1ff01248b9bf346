"""Videos that are encoded in parts and joined without encoding again.

A part is a file of its own, which is complete when it is closed: a job that is killed
later goes on after it. Parts are encoded at a constant rate; the joined video has the
times of its frames.
"""

import contextlib
import dataclasses
import pathlib
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, UInt8

from vosjax import files
from vosjax.media.pyav import load_pyav
from vosjax.media.write import (
  Codec,
  EncoderFrame,
  open_container,
  to_rate,
  to_video_frame,
  video_writer,
)

if TYPE_CHECKING:
  import av

_TICKS_PER_SECOND = 90_000  # of variable-rate video, as in MPEG; WebM rounds to 1 ms
_UNIFORM = 0.002  # seconds; times that are this close to a constant rate have one


@dataclasses.dataclass(frozen=True)
class Timing:
  """When frames are shown, in whole ticks.

  Attributes:
    time_base: seconds per tick.
    ticks: of the frames, ascending; None if frame t is shown at tick t.
    step: ticks between frames at the nominal rate.
  """

  time_base: Fraction
  ticks: tuple[int, ...] | None
  step: int

  @classmethod
  def from_times(
    cls, times: Float[np.ndarray, "t"], frames_per_second: float
  ) -> "Timing":
    """From seconds of the frames, of which the first is shown at 0.

    Args:
      times: seconds of the frames, of which there may be none.
      frames_per_second: the nominal rate.
    """
    rate = to_rate(frames_per_second)
    if len(times):
      times = times - times[0]
      uniform = np.arange(len(times)) / float(rate)
      if np.abs(times - uniform).max() > _UNIFORM:
        ticks: list[int] = []
        for tick in (times * _TICKS_PER_SECOND).round().astype(int).tolist():
          ticks.append(max(tick, ticks[-1] + 1) if ticks else tick)
        step = max(1, round(_TICKS_PER_SECOND / rate))
        return cls(Fraction(1, _TICKS_PER_SECOND), tuple(ticks), step)
    return cls(1 / rate, None, 1)

  def tick(self, index: int) -> int:
    """Tick of a frame; those before the first are at the nominal rate."""
    if self.ticks is None or index < 0:
      return index * self.step
    return self.ticks[index]

  def duration(self, index: int) -> int:
    """Ticks until the next frame; the nominal ones for the last frame."""
    if self.ticks is None or index + 1 >= len(self.ticks):
      return self.step
    return self.ticks[index + 1] - self.ticks[index]


class VideoParts:
  """Encodes a video in parts.

  Args:
    path: of the video that `join` makes.
    parts: folder of the parts.
    size: (height, width) of the frames.
    frames_per_second: the speed at which the video plays.
    codec: how frames are encoded.
    start: number of the next frame; parts from there on are dropped.
  """

  def __init__(
    self,
    path: pathlib.Path,
    parts: pathlib.Path,
    size: tuple[int, int],
    frames_per_second: float,
    codec: Codec,
    start: int,
  ):
    self.path = path
    self._parts, self._size, self._rate = parts, size, frames_per_second
    self._codec, self._next = codec, start
    self._stack = contextlib.ExitStack()
    self._write: Callable[[EncoderFrame], None] | None = None
    for part in self._closed_parts():
      if int(part.stem.rpartition("-")[2]) >= start:
        part.unlink()

  def convert(self, frame: UInt8[np.ndarray, "h w c"]) -> EncoderFrame:
    """Converts an RGB or RGBA frame for `write`. Any thread may call this."""
    return to_video_frame(frame, self._codec)

  def write(self, frame: EncoderFrame) -> None:
    """Appends a frame.

    Raises:
      OSError: the part cannot be written.
    """
    if self._write is None:
      part = self._parts / f"{self.path.stem}-{self._next:08d}{self.path.suffix}"
      writer = video_writer(part, self._size, self._rate, self._codec)
      self._write = self._stack.enter_context(writer)
    self._write(frame)
    self._next += 1

  def close_part(self) -> None:
    """Completes the part; the next frame begins another."""
    self._write = None
    self._stack.close()

  def abandon(self, error: BaseException) -> None:
    """Drops the part that is not complete, because of an error elsewhere."""
    self._write = None
    with contextlib.suppress(BaseException), self._stack:
      raise error  # the cause, which must not be hidden by what follows from it

  def join(self, timing: Timing) -> None:
    """Makes the video from all parts, which stay; no video if there are none.

    Raises:
      OSError: the video cannot be written.
      ValueError: parts come from different encoders.
    """
    av = load_pyav("videos")
    if not self._closed_parts():
      return
    try:
      with (
        files.replacing(self.path) as draft,
        open_container(draft) as container,
      ):
        self._copy_packets(container, timing)
    except av.FFmpegError as error:
      raise OSError(error.errno, error.strerror, str(self.path)) from error

  def _copy_packets(self, container: Any, timing: Timing) -> None:
    stream, header, first = None, b"", 0
    parts = self._closed_parts()
    delay = max(map(_decoding_delay, parts), default=0)
    for part in parts:
      with _open_part(part) as (source, packets):
        if stream is None:
          header = bytes(source.codec_context.extradata or b"")
          stream = container.add_stream_from_template(source)
          stream.time_base = timing.time_base
          stream.codec_context.codec_tag = source.codec_context.codec_tag
          if self._codec.has_alpha:
            stream.metadata["alpha_mode"] = "1"  # of WebM: the second layer is alpha
        elif bytes(source.codec_context.extradata or b"") != header:
          raise ValueError(
            f"{self.path}: parts in {self._parts} come from different encoders. Start "
            "the job again in a new folder."
          )
        for number, (packet, shown) in enumerate(zip(packets, _order(packets)), first):
          packet.time_base, packet.stream = timing.time_base, stream
          packet.pts = timing.tick(first + shown)
          packet.dts = timing.tick(number - delay)
          packet.duration = timing.duration(first + shown)
          container.mux_one(packet)
        first += len(packets)

  def _closed_parts(self) -> list[pathlib.Path]:
    return sorted(self._parts.glob(f"{self.path.stem}-*{self.path.suffix}"))


@contextlib.contextmanager
def _open_part(
  path: pathlib.Path,
) -> Iterator[tuple["av.VideoStream", list["av.Packet"]]]:
  """The stream of a part and its packets in the order of decoding."""
  import av

  with av.open(str(path.absolute())) as container:
    stream = container.streams.video[0]
    yield stream, [packet for packet in container.demux(stream) if packet.size]


def _order(packets: Sequence["av.Packet"]) -> list[int]:
  """When each packet of a part is shown: 0 is the first."""
  times = [packet.pts or 0 for packet in packets]
  shown = {pts: n for n, pts in enumerate(sorted(times))}
  return [shown[pts] for pts in times]


def _decoding_delay(path: pathlib.Path) -> int:
  """By how many frames a part must be decoded before it is shown."""
  with _open_part(path) as (_, packets):
    return max(number - shown for number, shown in enumerate(_order(packets)))
