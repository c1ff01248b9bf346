"""A video as a sequence of frames, parts of it, and what is said about it."""

import abc
import dataclasses
import operator
import pathlib
import re
from collections.abc import Iterator
from typing import overload

import numpy as np
from jaxtyping import Float64, UInt8

_FRAMES = re.compile(r"\d{1,12}")
_TIME = re.compile(
  r"(?:(?P<h>\d{1,9}):)?(?P<m>\d{1,9}):(?P<s>\d{1,9}(?:\.\d+)?)"
  r"|(?P<only>\d{1,9}(?:\.\d+)?)s"
)
_SECONDS_TOLERANCE = 1e-6  # times in a file are rounded to its time base


class VideoFrames(abc.ABC):
  """The frames of a video, as a sequence whose items are decoded on demand.

  `video[3]` is an RGB frame, [h w 3]; `video[10:200:2]` is a video of these frames,
  which keep their names and times. Reading in ascending order is cheapest.

  Attributes:
    files: the image files, or the one video file.
    frame_names: names of the frames without suffix, for naming the results.
    size: (height, width) of every frame.
    frames_per_second: the mean speed at which the video plays.
    warnings: what a user must know before the results are used; each is one line.
    details: what else is known, as `describe` says it: codec, rotation and so on.
    lost_first: name of the video's first frame, if it is damaged and left out; or "".
  """

  files: tuple[pathlib.Path, ...]
  frame_names: tuple[str, ...]
  size: tuple[int, int]
  frames_per_second: float
  warnings: tuple[str, ...]
  details: tuple[str, ...]
  lost_first: str = ""

  @property
  @abc.abstractmethod
  def name(self) -> str:
    """Path of the file or folder, for messages."""

  @property
  def frame_suffix(self) -> str | None:
    """Suffix of the image files; None unless each frame has one of this suffix."""
    suffixes = {file.suffix for file in self.files}
    has_files = len(self.files) == len(self) > 1
    return suffixes.pop() if has_files and len(suffixes) == 1 else None

  @property
  def stem(self) -> str:
    """What results call the video: the file without its suffix, or the folder."""
    path = pathlib.Path(self.name).resolve()
    return (path.name if path.is_dir() else path.stem) or "video"

  @property
  def times(self) -> Float64[np.ndarray, " n"]:
    """Seconds at which each frame is shown, counted from the first frame on."""
    return np.arange(len(self)) / self.frames_per_second

  def __len__(self) -> int:
    return len(self.frame_names)

  def __iter__(self) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    for index in range(len(self)):
      yield self._read(index)

  @overload
  def __getitem__(self, index: int) -> UInt8[np.ndarray, "h w 3"]: ...
  @overload
  def __getitem__(self, index: slice) -> "VideoFrames": ...
  def __getitem__(self, index):
    """One RGB frame, or for a slice, a video of some frames.

    Raises:
      IndexError: there is no such frame.
      ValueError: the frame is damaged; the message names it.
    """
    if isinstance(index, slice):
      return VideoPart.of(self, range(len(self))[index])
    position = operator.index(index)
    if position < 0:
      position += len(self)
    if not 0 <= position < len(self):
      raise IndexError(f"{self.name}: frame {index} of {len(self)}")
    return self._read(position)

  @abc.abstractmethod
  def _read(self, index: int) -> UInt8[np.ndarray, "h w 3"]:
    """One RGB frame; 0 <= index < len(self)."""


@dataclasses.dataclass(frozen=True)
class VideoPart(VideoFrames):
  """Some frames of a video, under the names and times that they have in it."""

  whole: VideoFrames
  indices: range
  files: tuple[pathlib.Path, ...]
  frame_names: tuple[str, ...]
  size: tuple[int, int]
  frames_per_second: float
  warnings: tuple[str, ...]
  details: tuple[str, ...]

  @classmethod
  def of(cls, whole: VideoFrames, indices: range) -> "VideoPart":
    """The frames of a video at these indices."""
    names = tuple(whole.frame_names[index] for index in indices)
    step = abs(indices.step)
    files, details = whole.files, whole.details
    if len(files) == len(whole):  # otherwise one file holds all frames
      files = tuple(files[index] for index in indices)
    if names:
      every = "" if step == 1 else f" by {step}"
      part = f"{names[0]} to {names[-1]}{every} of {len(whole):,} frames"
      details = (part, *details)
    return cls(
      whole,
      indices,
      files,
      names,
      whole.size,
      whole.frames_per_second / step,
      whole.warnings,
      details,
    )

  @property
  def name(self) -> str:
    return self.whole.name

  @property
  def frame_suffix(self) -> str | None:
    return self.whole.frame_suffix

  @property
  def times(self) -> Float64[np.ndarray, " n"]:
    return self.whole.times[np.asarray(self.indices, np.intp)]

  def _read(self, index: int) -> UInt8[np.ndarray, "h w 3"]:
    return self.whole[self.indices[index]]


def describe(video: VideoFrames) -> str:
  """One line on what was read, such as "a.mp4: 48 frames of 96x64, 25 frames/s"."""
  height, width = video.size
  count = "1 frame" if len(video) == 1 else f"{len(video):,} frames"
  rate = f"{video.frames_per_second:.2f}".rstrip("0").rstrip(".")
  variable = " (variable)" if _is_variable(video) else ""
  parts = (
    f"{video.name}: {count} of {width}x{height}",
    f"{rate} frames/s{variable}",
    *video.details,
  )
  return ", ".join(parts)


def frames_or_seconds(text: str) -> int | float:
  """A number of frames ("12") as an int, or seconds ("12s", "1:02.5") as a float.

  Raises:
    ValueError: the text is neither.
  """
  if _FRAMES.fullmatch(text):
    return int(text)
  match = _TIME.fullmatch(text)
  if match is None:
    raise ValueError(
      f"{text!r} is neither the number of a frame (12) nor a time (12s, 1:02.5, "
      "00:01:02)."
    )
  parts = {key: float(value or 0) for key, value in match.groupdict().items()}
  return parts["h"] * 3600 + parts["m"] * 60 + parts["s"] + parts["only"]


def frame_number(text: str, video: VideoFrames, *, end: bool = False) -> int:
  """The frame that a user means by a number or a time.

  Args:
    text: "12" is frame 12, counted from 0 whatever the frames are named; "12s",
      "1:02.5" and "00:01:02" are times, which stand for the frame that is shown then.
    video: whose frames are meant.
    end: a frame to stop before is meant; a time then stands for the first frame that
      is not shown earlier.

  Returns:
    An index from 0 to len(video), which is the end.

  Raises:
    ValueError: the text is neither, or lies beyond the end.
  """
  value = frames_or_seconds(text)
  if isinstance(value, int):
    if value > len(video):
      raise ValueError(
        f"frame {value} is beyond the end: {video.name} has {len(video)} frames, "
        "counted from 0."
      )
    return value
  seconds = value
  times = video.times
  last = times[-1] + 1 / video.frames_per_second if len(times) else 0.0
  if seconds > last + _SECONDS_TOLERANCE:
    raise ValueError(
      f"{text} is beyond the end: {video.name} is {last:.2f} s long "
      f"({len(video)} frames)."
    )
  if end or seconds > last - _SECONDS_TOLERANCE:
    return int(np.searchsorted(times, seconds - _SECONDS_TOLERANCE))
  return max(0, int(np.searchsorted(times, seconds + _SECONDS_TOLERANCE, "right")) - 1)


def check_size(size: tuple[int, ...], expected: tuple[int, int], what: str) -> None:
  """Requires a (height, width) to be that of the video's first frame."""
  if tuple(size) != tuple(expected):
    raise ValueError(
      f"{what} is {size[1]}x{size[0]}, but the video's first frame is "
      f"{expected[1]}x{expected[0]}."
    )


def _is_variable(video: VideoFrames) -> bool:
  """Whether the distance of frames varies by more than rounding does."""
  steps = np.diff(video.times)
  if not len(steps):
    return False
  usual = float(np.median(steps))
  return bool(np.abs(steps - usual).max() > max(0.1 * usual, 0.0015))
