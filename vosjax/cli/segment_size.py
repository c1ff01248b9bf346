"""`--max-size`: frames at a smaller size for the network, results at the full one."""

import dataclasses
import functools
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from jaxtyping import Integer, UInt8

from vosjax.inference.frame_result import FrameResult
from vosjax.labels import VOID, find_ids
from vosjax.media import resizing
from vosjax.media.video_frames import VideoFrames

Masks = Mapping[int, UInt8[np.ndarray, "h w"]]


@dataclasses.dataclass(frozen=True)
class FullSize:
  """A video that the network gets as it is.

  Attributes:
    frames: what the network gets, as a sequence of RGB images.
    masks: likewise, by number of the frame; None for a zero-shot model.
  """

  frames: Any
  masks: Masks | None

  def restore(self, number: int, result: FrameResult) -> "Written":
    """What is written of the result of a frame."""
    del number
    return Written(
      result.frame,
      functools.partial(getattr, result, "labels"),
      functools.partial(getattr, result, "probs"),
    )


@dataclasses.dataclass(frozen=True)
class Reduced(FullSize):
  """A video that the network gets at a smaller size.

  Attributes:
    full_masks: the masks at the full size.
  """

  full_masks: Masks | None

  def restore(self, number: int, result: FrameResult) -> "Written":
    """What is written of a result, at the full size and computed when it is read."""
    image = self.frames.take(number)
    given = None if self.full_masks is None else self.full_masks.get(number)

    @functools.cache
    def enlarged():
      labels, probs = resizing.enlarge(
        result.labels, result.object_ids, result.probs, image
      )
      if given is not None:
        _give(labels, given)
      return labels, probs

    return Written(image, lambda: enlarged()[0], lambda: enlarged()[1])


@dataclasses.dataclass(frozen=True)
class Written:
  """What is written of a frame.

  Attributes:
    image: RGB.
    labels: a function that returns object ids [h w].
    probs: a function that returns the probability of each object [o h w].
  """

  image: UInt8[np.ndarray, "h w 3"]
  labels: Any
  probs: Any


def for_network(
  video: VideoFrames, masks: Masks | None, max_size: int | None
) -> FullSize:
  """A video as the network gets it.

  Args:
    video: the frames.
    masks: of some of them.
    max_size: of the longer side, in pixels; None keeps the size.

  Raises:
    ValueError: an object is too small to be seen at that size.
  """
  size = video.size if max_size is None else resizing.reduced_size(video.size, max_size)
  if size == video.size:
    return FullSize(video, masks)
  frames = resizing.ReducedFrames(video, size)
  if masks is None:
    return Reduced(frames, None, None)
  reduced = _ReducedMasks(masks, size)
  for number in masks:
    if lost := set(find_ids(masks[number])) - set(find_ids(reduced[number])):
      raise ValueError(
        f"--max-size {max_size}: object {min(lost)} of frame "
        f"{video.frame_names[number]} is smaller than a pixel of the reduced frame. "
        "Give a larger size, or leave it out."
      )
  return Reduced(frames, reduced, masks)


class _ReducedMasks(Mapping[int, UInt8[np.ndarray, "h w"]]):
  """Masks at a smaller (height, width), computed when they are read."""

  def __init__(self, masks: Masks, size: tuple[int, int]):
    self._masks, self._size = masks, size

  def __getitem__(self, number: int) -> UInt8[np.ndarray, "h w"]:
    return resizing.reduce_labels(self._masks[number], self._size)

  def __iter__(self) -> Iterator[int]:
    return iter(self._masks)

  def __len__(self) -> int:
    return len(self._masks)


def _give(
  labels: Integer[np.ndarray, "h w"], given: Integer[np.ndarray, "h w"]
) -> None:
  """Replaces the objects that a mask shows by what it shows, in place."""
  ids = find_ids(given)
  labels[np.isin(labels, ids)] = 0
  shown = (given > 0) & (given != VOID)
  labels[shown] = given[shown]
