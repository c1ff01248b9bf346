"""What the pipeline and the evaluation ask of a video, wherever it is kept."""

from typing import NotRequired, Protocol, TypedDict, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from vosjax.data.lazy_images import Picture, Pictures

VOID = 255


class Clip(TypedDict):
  """Consecutive frames of one video: a training sample.

  Frames and labels are arrays, or `Pictures` that nobody has decoded yet.

  Attributes:
    frames: RGB.
    labels: 0 = background, 255 = void or not annotated, others = object ids.
    name: `video/first frame`, for messages.
    classes: of the objects 1, 2, ..; 0 = no such object. Only if a transform adds it.
  """

  frames: UInt8[np.ndarray, "t h w 3"] | Pictures
  labels: UInt8[np.ndarray, "t h w"] | Pictures
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
  """The `length` frames from `start` on, which are decoded when they are used.

  `first_labels` are those of the start, where they are decoded already. Frames without
  annotation get 255 everywhere. A video may offer its own
  `clip(start, length) -> (frames, labels)` where that is faster.
  """
  name = f"{video.name}/{video.frame_names[start]}"
  if hasattr(video, "clip"):
    frames, labels = video.clip(start, length)
    return Clip(frames=frames, labels=labels, name=name)
  if first_labels is None:
    first_labels = video.labels(start)
  if first_labels is None:
    first_labels = np.full(frame_size(video), VOID, np.uint8)

  def read_labels(t):
    labels = video.labels(start + t) if t else first_labels
    return np.full_like(first_labels, VOID) if labels is None else labels

  size = first_labels.shape
  return Clip(
    frames=Pictures(lambda t: picture(video, start + t), (length, *size, 3)),
    labels=Pictures(read_labels, (length, *size)),
    name=name,
  )


def frame_size(video: Video) -> tuple[int, int]:
  """(height, width) of all frames.

  A video may offer it as `size`, where it need not decode a frame to tell.
  """
  size = getattr(video, "size", None)
  return video.frame(0).shape[:2] if size is None else size


def picture(video: Video, index: int) -> Picture:
  """One frame in the form that the video decodes it to.

  A video may offer `picture(index) -> Image.Image` beside `frame`: what is resized or
  mirrored next needs no array.
  """
  return getattr(video, "picture", video.frame)(index)
