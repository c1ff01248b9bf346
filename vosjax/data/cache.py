"""Videos that are decoded once and kept in memory."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import UInt8

from vosjax.data.video import Source, Video


@dataclasses.dataclass(frozen=True)
class ArrayVideo(Video):
  """A video held in memory.

  Attributes:
    name: of the video.
    frame_names: of its frames.
    frames: RGB.
    all_labels: object ids; a frame that is not annotated is all void.
    classes: class of each object id; empty where there are no classes.
  """

  name: str
  # Fields that hide a default of `Video` must not inherit it as their own default.
  frame_names: tuple[str, ...] = dataclasses.field()
  frames: UInt8[np.ndarray, "t h w 3"]
  all_labels: UInt8[np.ndarray, "t h w"]
  classes: Mapping[int, int] = dataclasses.field(default_factory=dict)

  def __len__(self) -> int:
    return len(self.frames)

  def frame(self, index: int) -> UInt8[np.ndarray, "h w 3"]:
    return self.frames[index]

  def labels(self, index: int) -> UInt8[np.ndarray, "h w"] | None:
    return self.all_labels[index]

  def clip(
    self, start: int, length: int
  ) -> tuple[UInt8[np.ndarray, "t h w 3"], UInt8[np.ndarray, "t h w"]]:
    span = slice(start, start + length)
    return self.frames[span], self.all_labels[span]


class InMemory(Source):
  """A source that decodes each video on first use and keeps it in memory.

  For videos that cost more to decode or render than a small network's step. Worker
  processes keep copies of their own. Two instances are equal if the sources
  that they cache are.
  """

  def __init__(self, source: Source):
    self._source = source
    self._videos: dict[int, ArrayVideo] = {}

  def __eq__(self, other: object) -> bool:
    return isinstance(other, InMemory) and self._source == other._source

  def __hash__(self) -> int:
    return hash(self._source)

  def __len__(self) -> int:
    return len(self._source)

  def __getitem__(self, index: int) -> Video:
    if index not in self._videos:
      video = self._source[index]
      frames, labels = video.clip(0, len(video))
      self._videos[index] = ArrayVideo(
        video.name, video.frame_names, frames, labels, video.classes
      )
    return self._videos[index]

  @property
  def origin(self) -> str | None:
    return self._source.origin

  def __getstate__(self) -> dict[str, Any]:
    return {"_source": self._source, "_videos": {}}
