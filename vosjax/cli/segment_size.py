"""`--max-size`: frames at a smaller size for the network, results at the full one."""

import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Integer, UInt8

from vosjax.inference.frame_result import FrameResult
from vosjax.labels import VOID, find_ids
from vosjax.media import resizing
from vosjax.media.video_frames import VideoFrames

Masks = Mapping[int, UInt8[np.ndarray, "_ _"]]


@dataclasses.dataclass(frozen=True)
class FullSize:
  """A video that the network gets as it is.

  Attributes:
    frames: what the network gets, as a sequence of RGB images.
    masks: likewise, by number of the frame; None for a zero-shot model.
    size: (height, width) of these.
  """

  frames: Any
  masks: Masks | None
  size: tuple[int, int]

  def restore(self, number: int, result: FrameResult) -> "Written":
    """What is written of the result of a frame."""
    del number
    return Written.of(result)


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
        _give(labels, probs, result.object_ids, given)
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

  @classmethod
  def of(cls, result: FrameResult) -> "Written":
    """A result as it is, copied from the device when it is read."""
    return cls(
      result.frame,
      functools.partial(getattr, result, "labels"),
      functools.partial(getattr, result, "probs"),
    )


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
    return FullSize(video, masks, size)
  frames = resizing.ReducedFrames(video, size)
  if masks is None:
    return Reduced(frames, None, size, None)
  reduced = _ReducedMasks(masks, size)
  for number in masks:
    if lost := set(find_ids(masks[number])) - set(find_ids(reduced[number])):
      raise ValueError(
        f"--max-size {max_size}: object {min(lost)} of frame "
        f"{video.frame_names[number]} is smaller than a pixel of the reduced frame. "
        "Give a larger size, or leave it out."
      )
  return Reduced(frames, reduced, size, masks)


class _ReducedMasks(Mapping[int, UInt8[np.ndarray, "_ _"]]):
  """Masks at a smaller (height, width), computed when they are read."""

  def __init__(self, masks: Masks, size: tuple[int, int]):
    self._masks, self._size = masks, size

  def __getitem__(self, number: int) -> UInt8[np.ndarray, "_ _"]:
    return resizing.reduce_labels(self._masks[number], self._size)

  def __iter__(self) -> Iterator[int]:
    return iter(self._masks)

  def __len__(self) -> int:
    return len(self._masks)


def _give(
  labels: Integer[np.ndarray, "h w"],
  probs: Float[np.ndarray, "o h w"],
  object_ids: Sequence[int],
  given: Integer[np.ndarray, "h w"],
) -> None:
  """Replaces the objects that a mask shows by what it shows, in place.

  In void pixels, objects stay where they were segmented.
  """
  known = given != VOID
  ids = find_ids(given)
  shown = known & (given > 0)
  labels[known & np.isin(labels, ids)] = 0
  labels[shown] = given[shown]
  for object_id, prob in zip(object_ids, probs, strict=True):
    if object_id in ids:
      prob[known] = given[known] == object_id
    else:
      prob[shown] = 0
