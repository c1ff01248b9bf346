"""Which frames are segmented in which order, and what each result depends on.

A pass goes through frames in one direction with one session of the model. The result of
a frame depends on what was given up to it in its pass, and on nothing else: its key is
a digest of that. Frames whose result has their current key are up to date, so a
correction makes the frames after it stale (in the pass's direction) and no other.
"""

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping
from typing import Literal, get_args

Direction = Literal["forward", "backward", "both"]


@dataclasses.dataclass(frozen=True)
class Pass:
  """Frames that one session follows, from the first given one on.

  Attributes:
    frames: their numbers in order, ascending or descending; the first one is given.
    keys: of the result of each frame in `frames`.
    given: frames in which the session is told something.
    first_result: position in `frames` of the first one whose result belongs to this
      pass; earlier ones belong to another pass.
  """

  frames: range
  keys: tuple[str, ...]
  given: frozenset[int]
  first_result: int = 0

  def results(self) -> Iterator[tuple[int, str]]:
    """Number and key of each frame whose result comes from this pass."""
    yield from zip(self.frames[self.first_result :], self.keys[self.first_result :])


def check_direction(direction: object) -> Direction:
  """Refuses an unknown direction.

  Raises:
    ValueError: it is none of "forward", "backward" and "both".
  """
  if direction not in get_args(Direction):
    raise ValueError(
      f"direction is {direction!r}; expected one of {list(get_args(Direction))}."
    )
  return direction  # type: ignore[return-value]  # checked above


def passes(
  given: Mapping[int, str], direction: Direction, length: int, model: str
) -> list[Pass]:
  """The passes over a video.

  Args:
    given: digest of what is given, by frame number; only frames that show an object
      can begin a pass, so the caller leaves out others before the first of these.
    direction: forward from the first given frame, backward from the last one, or
      forward from the first one and backward from the same one.
    length: number of frames of the video.
    model: digest of the model and its options.
  """
  if not given:
    return []
  first, last = min(given), max(given)
  found = []
  if direction in ("forward", "both"):
    found.append(_pass(given, range(first, length), f"{model} forward"))
  if direction == "backward":
    found.append(_pass(given, range(last, -1, -1), f"{model} backward"))
  if direction == "both" and first > 0:
    start = {first: given[first]}
    found.append(_pass(start, range(first, -1, -1), f"{model} backward", 1))
  return found


def _pass(
  given: Mapping[int, str], frames: range, seed: str, first_result: int = 0
) -> Pass:
  keys, key = [], hashlib.sha1(seed.encode()).hexdigest()
  for frame in frames:
    if frame in given:
      key = hashlib.sha1(f"{key} {frame} {given[frame]}".encode()).hexdigest()
    keys.append(key)
  inside = frozenset(frame for frame in given if frame in frames)
  return Pass(frames, tuple(keys), inside, first_result)
