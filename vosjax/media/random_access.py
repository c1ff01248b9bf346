"""Any frame of a video file, decoded from the keyframe before it."""

import collections
import functools
import heapq
import itertools
import pathlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from vosjax.media import decoding, pixels
from vosjax.media.video_index import SeekPoint

if TYPE_CHECKING:
  import av

_RECENT_BYTES = 256 << 20  # 82 frames of 1080p
_MOST_LATE = 16  # frames that a decoder holds back at most (H.264, H.265)
_WORTH_A_SEEK = 12  # frames that are decoded in vain rather than seeking


class FrameReader:
  """Reads frames by index; cheapest in ascending order.

  The latest frames are remembered. Going backwards frame by frame therefore decodes
  each group of pictures only a few times, not once for every frame.
  """

  def __init__(
    self,
    path: pathlib.Path,
    stamps: Sequence[int],
    seek_points: Sequence[SeekPoint],
    *,
    is_timed: bool,
    is_damaged: bool,
    formats: tuple[str, ...] = (),
  ):
    """Opens nothing yet.

    Args:
      path: of the video file.
      stamps: what identifies each frame, ascending: its presentation time stamp, or its
        number in the file.
      seek_points: where decoding can begin, ascending; frames that are lost may be
        among them.
      is_timed: whether stamps are time stamps.
      is_damaged: whether decoding of some frames is known to fail.
      formats: see `decoding.open_video`.
    """
    self._path = path
    self._stamps = stamps
    known = set(stamps)
    self._points = [point for point in seek_points if point.stamp in known]
    self._is_timed = is_timed
    self._is_damaged = is_damaged
    self._formats = formats
    self._frames: Iterator[tuple[int, av.VideoFrame]] = iter(())
    self._position = len(stamps)  # of the latest decoded frame; at the end, of none
    self._recent: collections.OrderedDict[int, av.VideoFrame] = (
      collections.OrderedDict()
    )

  def read(self, index: int) -> "av.VideoFrame | None":
    """A decoded frame; None if it is damaged."""
    if index in self._recent:
      return self._recent[index]
    if (
      index <= self._position
      or self._start_before(index) > self._position + _WORTH_A_SEEK
    ):
      self._seek(index)
    self._decode_up_to(index)
    if index not in self._recent and self._points:  # in case that a jump missed it
      self._frames = self._decode_from(None)
      self._decode_up_to(index)
    if index not in self._recent:
      self._position = len(self._stamps)  # the next read seeks
    return self._recent.get(index)

  def _decode_up_to(self, index: int) -> None:
    for position, frame in self._frames:
      self._position = position
      self._remember(position, frame)
      if position >= index:
        break

  def _remember(self, position: int, frame: "av.VideoFrame") -> None:
    self._recent[position] = frame
    self._recent.move_to_end(position)
    size = pixels.frame_bytes(frame)
    while len(self._recent) > 1 and len(self._recent) * size > _RECENT_BYTES:
      self._recent.popitem(last=False)

  def _start_before(self, index: int) -> int:
    """Index of the last frame up to this one from which decoding can begin."""
    points = self._points_before(index)
    return self._index_of[points[-1].stamp] if points else 0

  def _points_before(self, index: int) -> Sequence[SeekPoint]:
    end = np.searchsorted(self._point_stamps, self._stamps[index], "right")
    return self._points[: int(end)]

  @functools.cached_property
  def _point_stamps(self) -> list[int]:
    return [point.stamp for point in self._points]

  @functools.cached_property
  def _index_of(self) -> dict[int, int]:
    return {stamp: index for index, stamp in enumerate(self._stamps)}

  def _seek(self, index: int) -> None:
    """Begins to decode at one of the two keyframes before a frame, or at the start."""
    for point in self._points_before(index)[:-3:-1]:
      if not self._index_of[point.stamp]:
        break
      frames = self._decode_from(point)
      first = next(frames, None)
      if first is not None and first[0] <= index:  # a container may seek too far
        self._frames = itertools.chain([first], frames)
        return
    self._frames = self._decode_from(None)

  def _decode_from(
    self, point: SeekPoint | None
  ) -> "Iterator[tuple[int, av.VideoFrame]]":
    """Yields (index, frame) from a seek point, or from the start, to the end."""
    position, is_found = 0, point is None
    with decoding.open_video(self._path, self._formats) as container:
      stream = decoding.video_streams(container, str(self._path))[0]
      if point is not None:
        container.seek(point.target, stream=stream)
      frames = decoding.decode(container, stream, [], ahead=not self._is_damaged)
      for stamp, frame in self._stamped(frames):
        if not is_found:
          # What precedes the first keyframe after a jump refers to missing frames.
          if not frame.key_frame or stamp not in self._index_of:
            continue
          position, is_found = self._index_of[stamp], True
        while position < len(self._stamps) and self._stamps[position] < stamp:
          position += 1
        if position < len(self._stamps) and self._stamps[position] == stamp:
          yield position, frame
          position += 1

  def _stamped(
    self, frames: "Iterator[av.VideoFrame]"
  ) -> "Iterator[tuple[int, av.VideoFrame]]":
    """Yields (stamp, frame); in order of time, where damage makes the decoder late."""
    if not self._is_timed:
      yield from enumerate(frames)
      return
    held: list[tuple[int, int, av.VideoFrame]] = []
    for number, frame in enumerate(frames):
      if frame.pts is None:
        continue
      heapq.heappush(held, (frame.pts, number, frame))
      if not self._is_damaged or len(held) > _MOST_LATE:
        stamp, _, first = heapq.heappop(held)
        yield stamp, first
    for stamp, _, frame in sorted(held):
      yield stamp, frame
