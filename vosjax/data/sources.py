"""What the pipeline and the evaluation ask of a video, wherever it is kept."""

from typing import NotRequired, Protocol, TypedDict, runtime_checkable

import numpy as np
from jaxtyping import UInt8

VOID = 255


class Clip(TypedDict):
  """Consecutive frames of one video: a training sample.

  Attributes:
    frames: RGB.
    labels: 0 = background, 255 = void or not annotated, others = object ids.
    name: `video/first frame`, for messages.
    classes: of the objects 1, 2, ..; 0 = no such object. Only if a transform adds it.
  """

  frames: UInt8[np.ndarray, "t h w 3"]
  labels: UInt8[np.ndarray, "t h w"]
  name: str
  classes: NotRequired[UInt8[np.ndarray, " g"]]


@runtime_checkable
class Video(Protocol):
  """A sequence with random access; every frame has the same size."""

  name: str
  frame_names: tuple[str, ...]

  def __len__(self) -> int:
    """Number of frames."""

  def frame(self, index: int) -> UInt8[np.ndarray, "h w 3"]:
    """RGB of one frame."""

  def labels(self, index: int) -> UInt8[np.ndarray, "h w"] | None:
    """Object ids of one frame; None if the frame is not annotated."""


@runtime_checkable
class Source(Protocol):
  """Videos by index. Picklable, so that worker processes can read it."""

  def __len__(self) -> int:
    """Number of videos."""

  def __getitem__(self, index: int) -> Video:
    """One video; opening it decodes nothing."""


def read_clip(
    video: Video,
    start: int,
    length: int,
    first_labels: UInt8[np.ndarray, "h w"] | None = None,
) -> Clip:
  """Decodes `length` frames from `start` on, and nothing else.

  `first_labels` are those of the start, where they are decoded already. Frames without
  annotation get 255 everywhere. A video may offer its own
  `clip(start, length) -> (frames, labels)` where that is faster.
  """
  name = f"{video.name}/{video.frame_names[start]}"
  if hasattr(video, "clip"):
    frames, labels = video.clip(start, length)
    return Clip(frames=frames, labels=labels, name=name)
  first = video.frame(start)
  frames = np.empty((length, *first.shape), np.uint8)
  labels = np.full(frames.shape[:3], VOID, np.uint8)
  for t in range(length):
    frames[t] = first if t == 0 else video.frame(start + t)
    known = t == 0 and first_labels is not None
    annotation = first_labels if known else video.labels(start + t)
    if annotation is not None:
      labels[t] = annotation
  return Clip(frames=frames, labels=labels, name=name)
