"""What the names of mask files that are given one by one mean: frames or objects."""

import re
from collections.abc import Sequence

from vosjax.data.formats.frame_names import NameMatch, find_number, match_names

_FRAME_DIGITS = 4  # from so many on, a number is that of a frame; 001 may be an object


def match_files(names: Sequence[str], frame_names: Sequence[str]) -> NameMatch | None:
  """Matches the names of several files to frames, or finds that they are of objects.

  One name without a number, beside those of frames, is that of the first frame.

  Args:
    names: of files, without suffix; all differ.
    frame_names: of all frames, in order.

  Returns:
    The frame of each file; None if no name is that of a frame.

  Raises:
    ValueError: it is not certain what a name means; the message says which.
  """
  named = [n for n in names if n in frame_names or re.search(r"\d", n)]
  others = [n for n in names if n not in named]
  if not named:
    return None
  try:
    match = match_names(named, frame_names)
  except ValueError:
    if stray := _find_frame_like(named, frame_names):
      raise ValueError(
        f"{_join(names)}: {stray} seems to be named after a frame, but not all names "
        f"match frames by the same rule.{_remedy(frame_names)}"
      ) from None
    return None
  if match.how and len(named) > 1 and _may_be_objects(named):
    raise ValueError(
      f"{_join(names)}: these may be numbers of frames or of objects."
      f"{_remedy(frame_names)}"
    )
  if not others:
    return match
  if len(others) > 1 or 0 in match.frames.values():
    taken = "of the first frame, too" if len(others) == 1 else "not"
    matched = _join(list(match.frames))
    raise ValueError(
      f"{_join(names)}: {matched} named after frames, {_join(others)} "
      f"{taken}, so it is unclear what they show.{_remedy(frame_names)}"
    )
  return NameMatch({others[0]: 0, **match.frames}, "by name", match.note)


def say_objects(name: str) -> bool:
  """Whether a name says that it is that of an object."""
  return re.search("obj|inst", name, re.IGNORECASE) is not None


def _find_frame_like(names: Sequence[str], frame_names: Sequence[str]) -> str:
  """The first of some names that do not match, but is that of a frame by itself."""
  frame_digits = _count_digits(frame_names[0])
  for name in names:
    digits = _count_digits(name)
    if "frame" in name.lower() or (
      digits >= _FRAME_DIGITS and (digits == frame_digits or name.isdecimal())
    ):
      return name
    try:
      match_names([name], frame_names)
    except ValueError:
      continue
    return name
  numbers = find_number(names) if len(names) > 1 else None
  if numbers and not _count_up(numbers) and not all(map(say_objects, names)):
    return names[0]
  return ""


def _may_be_objects(names: Sequence[str]) -> bool:
  """Whether names that match frames may as well number objects: 1 and 2."""
  numbers = find_number(names)
  return (
    numbers is not None
    and _count_up(numbers)
    and max(map(_count_digits, names)) < _FRAME_DIGITS
    and not any("frame" in name.lower() for name in names)
  )


def _count_digits(name: str) -> int:
  """Digits of the last number in a name."""
  return len((re.findall(r"\d+", name) or [""])[-1])


def _count_up(numbers: Sequence[int]) -> bool:
  """Whether numbers are 0, 1, 2 and so on, or 1, 2, 3."""
  ordered = sorted(numbers)
  return ordered[0] <= 1 and ordered == list(
    range(ordered[0], ordered[0] + len(ordered))
  )


def _remedy(frame_names: Sequence[str]) -> str:
  return (
    f" Name masks of frames exactly after them ({frame_names[0]} to "
    f"{frame_names[-1]}), and files of one object each after objects (obj1, obj2)."
  )


def _join(names: Sequence[str]) -> str:
  return ", ".join([*names[:3], "..."] if len(names) > 3 else names)
