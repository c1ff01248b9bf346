"""Prompts at any frames of a video, and what each does to the objects it shows."""

import bisect
import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple, get_args

import numpy as np

from vosjax.inference.checks import UsageError, check_label_map, require_ids

Direction = Literal["forward", "backward", "both"]


class PlannedPrompt(NamedTuple):
  """What the labels of one frame do.

  Attributes:
    frame: number of the frame.
    added: ids of objects that are given here for the first time (in the direction in
      which the video is followed).
    corrected: ids of objects that have been given before and are put right here.
  """

  frame: int
  added: tuple[int, ...]
  corrected: tuple[int, ...]


def plan(
  prompts: Mapping[Any, Any], direction: Direction | str | None = None
) -> tuple[PlannedPrompt, ...]:
  """Says which frames add objects and which correct them, before any work is done.

  Args:
    prompts: labels [h w] by the number of their frame, see `VideoSegmenter.run`.
    direction: likewise.

  Returns:
    One item for each prompt, in the order of frames.

  Raises:
    ValueError: there is no prompt, one is no label map or shows no object, or there is
      no such direction.
  """
  chosen = choose_direction(direction, prompts)
  seen: set[int] = set()
  planned: list[PlannedPrompt] = []
  size: tuple[int, ...] = ()
  for t in sorted(prompts, reverse=chosen == "backward"):
    with _prefix_prompt(t):
      labels = check_label_map(prompts[t])
      ids = require_ids(labels)
      if labels.shape != (size or labels.shape):
        raise UsageError(
          f"labels are {list(labels.shape)}, but those of another frame are "
          f"{list(size)}. All need the size of the video's frames."
        )
      size = labels.shape
    added = tuple(i for i in ids if i not in seen)
    planned.append(PlannedPrompt(t, added, tuple(i for i in ids if i in seen)))
    seen.update(ids)
  return tuple(sorted(planned))


@contextlib.contextmanager
def _prefix_prompt(t: int) -> Iterator[None]:
  """Puts the number of the frame in front of a UsageError in its block."""
  try:
    yield
  except UsageError as error:
    raise UsageError(f"prompts[{t}]: {error}") from None


def choose_direction(
  direction: Direction | str | None, prompts: Mapping[Any, Any]
) -> Direction:
  """The direction in which a video with these prompts is followed.

  Args:
    direction: None for "forward" if only the first frame is given, else "both".
    prompts: by the number of their frame.

  Raises:
    UsageError: there is no such direction, or no prompt.
  """
  if direction not in (None, *get_args(Direction)):
    raise UsageError(f"direction is {direction!r}; known: {list(get_args(Direction))}.")
  if not prompts:
    raise UsageError("prompts are empty. Give the labels of at least one frame.")
  if direction is None:
    return "forward" if set(prompts) == {0} else "both"
  return direction  # type: ignore[return-value]  # checked above


def check_numbers(prompts: Mapping[Any, Any], length: int) -> None:
  """Requires the numbers of prompts to be those of frames.

  Raises:
    UsageError: one is not.
  """
  for t in prompts:
    if isinstance(t, bool) or not isinstance(t, int | np.integer):
      raise UsageError(f"prompts has the key {t!r}; expected the number of a frame.")
    if not 0 <= t < length:
      raise UsageError(f"prompts[{t}]: the video has frames 0 to {length - 1} only.")


class GivenFrames:
  """In which frames each object is given.

  Args:
    planned: from `plan`.
  """

  def __init__(self, planned: tuple[PlannedPrompt, ...]):
    self._frames: dict[int, list[int]] = {}
    for prompt in planned:
      for i in (*prompt.added, *prompt.corrected):
        self._frames.setdefault(i, []).append(prompt.frame)

  def forward_share(self, object_id: int, t: int) -> float:
    """How much of an object in frame t comes from the nearest earlier given frame.

    Args:
      object_id: of the object.
      t: number of the frame.

    Returns:
      1 in a given frame and after the last one, 0 before the first one; in between it
      falls linearly from one given frame to the next.
    """
    frames = self._frames[object_id]
    following = bisect.bisect_right(frames, t)
    if following == 0:
      return 0.0
    if following == len(frames):
      return 1.0
    before, after = frames[following - 1], frames[following]
    return (after - t) / (after - before)
