"""Finds the primary object of a video, so that a one-shot model can follow it.

A zero-shot network guesses the object in each frame by itself, and often roughly. A
one-shot network that follows a rough mask through a few frames mends much of it, since
it keeps what looks alike and moves along. Several guesses, followed to the same frame,
outvote the wrong ones.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from vosjax.inference.engine import VideoSegmenter
from vosjax.media import resizing

_SECTION = 48  # frames in which the object is looked for at once
_GUESSES = 4  # of a section that are followed, evenly spread
_SPACING = 3  # least distance of two guesses, in frames
_SHORT_SIDE = 240  # rows or columns of the frames that the networks get
_LEAST = 0.001  # part of a frame that an object takes up


def find_primary(
  frames: Any,
  finder: VideoSegmenter,
  follower: VideoSegmenter,
  *,
  progress: Callable[[], object] = lambda: None,
) -> tuple[int, Int[np.ndarray, "h w"]] | None:
  """Finds the first frame that shows the primary object of a video, and its mask.

  Sections of the video are searched until one shows an object. Four guesses of it are
  followed back to its start; the mask is where the mean of their probabilities is
  more than one half.

  Args:
    frames: of the video, RGB [h w 3]; anything with a length and items.
    finder: of a zero-shot model.
    follower: of a one-shot model.
    progress: called after each frame that a network has seen.

  Returns:
    The number of the frame, and labels in which 1 is the object. None if no frame shows
    one.

  Raises:
    ValueError: a frame is unusable.
  """
  for start in range(0, len(frames), _SECTION):
    stop = min(start + _SECTION, len(frames))
    section = [_reduce(np.asarray(frames[index])) for index in range(start, stop)]
    guesses = _guess(section, finder, progress)
    probs = _follow_back(section, guesses, follower, progress)
    for number, prob in enumerate(probs):
      if _is_object(prob > 0.5):
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
  """Masks of the frames of a section that are followed, but for empty ones."""
  count = max(1, min(_GUESSES, len(section) // _SPACING))
  chosen = {int((k + 0.5) * len(section) / count) for k in range(count)}
  guesses = {}
  for number, result in enumerate(finder.run(section)):
    if number in chosen and _is_object(result.labels > 0):
      guesses[number] = (np.asarray(result.labels) > 0).astype(np.uint8)
    progress()
  return guesses


def _follow_back(
  section: list[UInt8[np.ndarray, "h w 3"]],
  guesses: dict[int, UInt8[np.ndarray, "h w"]],
  follower: VideoSegmenter,
  progress: Callable[[], object],
) -> list[Float[np.ndarray, "h w"]]:
  """Probability of the object in each frame: the mean of what later guesses say."""
  total = np.zeros((len(section), *section[0].shape[:2]), np.float32)
  count = np.zeros(len(section), np.float32)
  for guess, mask in guesses.items():
    for number, result in zip(
      range(guess, -1, -1), follower.run(section[guess::-1], mask)
    ):
      total[number] += np.asarray(result.probs)[0]
      count[number] += 1
      progress()
  return list(total / np.maximum(count, 1)[:, None, None])


def _is_object(mask: Bool[np.ndarray, "h w"]) -> bool:
  return bool(np.asarray(mask).mean() >= _LEAST)
