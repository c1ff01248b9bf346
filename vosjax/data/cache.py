"""Videos that are decoded once and kept."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import UInt8

from vosjax.data.video import Source, Video, read_clip


@dataclasses.dataclass(frozen=True)
class ArrayVideo:
  """A video that lies in memory; a frame that is all void is not annotated.

  Its `classes` are those of the objects by id, where its source knows them.
  """

  name: str
  frame_names: tuple[str, ...]
  frames: UInt8[np.ndarray, "t h w 3"]
  all_labels: UInt8[np.ndarray, "t h w"]
  classes: Mapping[int, int] = dataclasses.field(default_factory=dict)

  def __len__(self) -> int:
    return len(self.frames)

  def frame(self, index: int) -> UInt8[np.ndarray, "h w 3"]:
    """RGB of one frame."""
    return self.frames[index]

  def labels(self, index: int) -> UInt8[np.ndarray, "h w"]:
    """Object ids of one frame."""
    return self.all_labels[index]

  def clip(
    self, start: int, length: int
  ) -> tuple[UInt8[np.ndarray, "t h w 3"], UInt8[np.ndarray, "t h w"]]:
    """Frames and labels of `length` frames from `start`."""
    span = slice(start, start + length)
    return self.frames[span], self.all_labels[span]


class InMemory:
  """A source whose videos are decoded, or drawn, when first asked for, then kept.

  For few or short videos that cost more to make than a small network's step. Worker
  processes keep copies of their own. Equal to another one of an equal source.
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
      clip = read_clip(video, 0, len(video))
      self._videos[index] = ArrayVideo(
        video.name,
        tuple(video.frame_names),
        np.asarray(clip["frames"]),
        np.asarray(clip["labels"]),
        getattr(video, "classes", {}),
      )
    return self._videos[index]

  def __getstate__(self) -> dict[str, Any]:
    return {"_source": self._source, "_videos": {}}
