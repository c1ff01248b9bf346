"""Finds the primary object of a video, so that a one-shot model can follow it.

A zero-shot model guesses the object in each frame by itself, and often roughly. A
one-shot model that follows a rough mask through a few frames mends much of it, since it
keeps what looks alike and moves along. Several guesses are followed to the same frame,
where the mean of their probabilities decides.
"""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from vosjax.inference.engine import VideoSegmenter
from vosjax.media import resizing

_SECTION = 48  # frames in which the object is looked for at once
_GUESSES = 4  # of a section, that are followed
_SHORT_SIDE = 240  # rows or columns of the frames that the models get
_LEAST = 0.001  # part of a frame that an object takes up

# Probability of the object in each frame from the first of a section to a guess.
Followed = Float[np.ndarray, "_ h w"]


def find_primary(
  frames: Any,
  finder: VideoSegmenter,
  follower: VideoSegmenter,
  *,
  progress: Callable[[], object] = lambda: None,
) -> tuple[int, Int[np.ndarray, "h w"]] | None:
  """Finds a mask of the primary object, in the first frame that seems to show it.

  Sections of the video are searched until one shows an object. Up to four guesses of
  it, evenly spread over the frames in which the zero-shot model sees one, are followed
  back to its start. The mask is that of the first frame in which the mean of their
  probabilities is more than one half for an object. Where they do not agree on any, it
  comes from the guess that overlaps most with the others.

  Args:
    frames: of the video, RGB [h w 3], of one size; anything with a length and items.
    finder: of a zero-shot model.
    follower: of a one-shot model.
    progress: called after each frame that a model has seen.

  Returns:
    The number of the frame, and labels in which 1 is the object. None if the zero-shot
    model sees no object in any frame.

  Raises:
    ValueError: a frame is unusable.
  """
  for start in range(0, len(frames), _SECTION):
    stop = min(start + _SECTION, len(frames))
    section = [_reduce(np.asarray(frames[index])) for index in range(start, stop)]
    guesses = _guess(section, finder, progress)
    if not guesses:
      continue
    followed = [
      _follow_back(section[: number + 1], mask, follower, progress)
      for number, mask in guesses.items()
    ]
    number, prob = _decide(followed)
    labels, _ = resizing.enlarge(
      (prob > 0.5).astype(np.int32),
      (1,),
      prob[None],
      np.asarray(frames[start + number]),
    )
    return start + number, labels
  return None


def _reduce(frame: UInt8[np.ndarray, "_ _ 3"]) -> UInt8[np.ndarray, "_ _ 3"]:
  height, width = frame.shape[:2]
  short = min(height, width)
  if short <= _SHORT_SIDE:
    return np.array(frame)  # all frames of a video may be in one buffer
  size = round(height * _SHORT_SIDE / short), round(width * _SHORT_SIDE / short)
  return resizing.reduce_image(frame, size)


def _guess(
  section: list[UInt8[np.ndarray, "h w 3"]],
  finder: VideoSegmenter,
  progress: Callable[[], object],
) -> dict[int, UInt8[np.ndarray, "h w"]]:
  """Masks that the zero-shot model finds, of some of the frames with an object."""
  found = {}
  for number, result in enumerate(finder.run(section)):
    mask = np.asarray(result.labels) > 0
    if _is_object(mask):
      found[number] = mask.astype(np.uint8)
    progress()
  count = min(_GUESSES, len(found))
  numbers = list(found)
  chosen = [numbers[int((k + 0.5) * len(found) / count)] for k in range(count)]
  return {number: found[number] for number in chosen}


def _follow_back(
  frames: list[UInt8[np.ndarray, "h w 3"]],
  mask: UInt8[np.ndarray, "h w"],
  follower: VideoSegmenter,
  progress: Callable[[], object],
) -> Followed:
  """Probability of the object of the last frame's mask in all frames."""
  probs = []
  for result in follower.run(frames[::-1], mask):
    probs.append(np.asarray(result.probs, np.float32)[0])
    progress()
  return np.stack(probs[::-1])


def _decide(followed: list[Followed]) -> tuple[int, Float[np.ndarray, "h w"]]:
  """The first frame that shows an object, and the probability of the object there."""
  for number in range(max(map(len, followed))):
    there = [probs[number] for probs in followed if number < len(probs)]
    mean = np.sum(there, 0) / len(followed)  # the others do not vote for an object
    if _is_object(mean > 0.5):
      return number, mean
  best = max(range(len(followed)), key=lambda k: _agreement(k, followed))
  number = next(t for t, prob in enumerate(followed[best]) if _is_object(prob > 0.5))
  return number, followed[best][number]


def _agreement(index: int, followed: list[Followed]) -> float:
  """Mean overlap of what follows from a guess with what follows from the others."""
  own = followed[index] > 0.5
  overlaps = []
  for other in itertools.chain(followed[:index], followed[index + 1 :]):
    common = min(len(own), len(other))
    a, b = own[:common], other[:common] > 0.5
    overlaps.append((a & b).sum() / max(1, (a | b).sum()))
  return float(np.mean(overlaps)) if overlaps else 1.0


def _is_object(mask: Bool[np.ndarray, "h w"]) -> bool:
  return bool(mask.mean() >= _LEAST)
