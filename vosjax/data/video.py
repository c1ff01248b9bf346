"""What a video, a source of videos and a training clip are."""

import abc
import functools
from collections.abc import Iterator, Mapping
from typing import NotRequired, TypedDict

import numpy as np
from jaxtyping import UInt8

from vosjax.labels import VOID


class Clip(TypedDict):
  """Frames of one video, in most recipes consecutive: a training sample.

  Attributes:
    frames: RGB.
    labels: 0 = background, 255 = void or not annotated, others = object ids.
    name: `video/first frame`, for messages.
    classes: class of each of the objects 1, 2, ...; 0 = no such object. Present only
      if a transform adds it.
  """

  frames: UInt8[np.ndarray, "t h w 3"]
  labels: UInt8[np.ndarray, "t h w"]
  name: str
  classes: NotRequired[UInt8[np.ndarray, " g"]]


class Video(abc.ABC):
  """A video with random access, all of whose frames have one size.

  A video is a sequence of its frames, so `VideoSegmenter.run` takes it as it is.
  Subclasses have a `name` and implement `__len__`, `frame` and `labels`. All the rest
  has a default, which a format overrides where it knows more or can be faster.

  Attributes:
    name: of the video within its source.
  """

  name: str

  @abc.abstractmethod
  def __len__(self) -> int:
    """Number of frames."""

  @abc.abstractmethod
  def frame(self, index: int) -> UInt8[np.ndarray, "h w 3"]:
    """One frame as RGB."""

  @abc.abstractmethod
  def labels(self, index: int) -> UInt8[np.ndarray, "h w"] | None:
    """Object ids of one frame; None if the frame is not annotated."""

  def __getitem__(self, index: int) -> UInt8[np.ndarray, "h w 3"]:
    return self.frame(index)

  def __iter__(self) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    return (self.frame(t) for t in range(len(self)))

  @functools.cached_property
  def frame_names(self) -> tuple[str, ...]:
    """Names of the frames; numbered from 00000 by default."""
    return tuple(f"{t:05d}" for t in range(len(self)))

  @functools.cached_property
  def size(self) -> tuple[int, int]:
    """(height, width) of all frames; by default the first frame is decoded."""
    height, width = self.frame(0).shape[:2]
    return height, width

  @functools.cached_property
  def annotated_frames(self) -> tuple[int, ...]:
    """Indices of the frames that have labels, all of them by default."""
    return tuple(range(len(self)))

  @functools.cached_property
  def classes(self) -> Mapping[int, int]:
    """Class of each object id; empty where the dataset has no classes."""
    return {}

  @functools.cached_property
  def categories(self) -> Mapping[int, str]:
    """Name of the category of each object id; empty where it is not known."""
    return {}

  def clip(
    self, start: int, length: int
  ) -> tuple[UInt8[np.ndarray, "t h w 3"], UInt8[np.ndarray, "t h w"]]:
    """Frames and labels of `length` frames from `start`; 255 where not annotated."""
    times = range(start, start + length)
    frames = np.stack([self.frame(t) for t in times])
    void = np.full(frames.shape[1:3], VOID, np.uint8)
    labels = (self.labels(t) for t in times)
    return frames, np.stack([void if x is None else x for x in labels])


class Source(abc.ABC):
  """Videos by index. Picklable, so that worker processes can read it."""

  @abc.abstractmethod
  def __len__(self) -> int:
    """Number of videos."""

  @abc.abstractmethod
  def __getitem__(self, index: int) -> Video:
    """One video; nothing is decoded yet."""

  def __iter__(self) -> Iterator[Video]:
    return (self[i] for i in range(len(self)))

  @property
  def origin(self) -> str | None:
    """The folder that the videos are read from; None if they are generated."""
    return None

  @property
  def num_frames(self) -> Mapping[str, int] | None:
    """Number of frames of each video by name; None where counting takes long."""
    return None


def read_clip(video: Video, start: int, length: int) -> Clip:
  """Reads `length` frames from `start` on as a training sample."""
  frames, labels = video.clip(start, length)
  name = f"{video.name}/{video.frame_names[start]}"
  return Clip(frames=frames, labels=labels, name=name)
