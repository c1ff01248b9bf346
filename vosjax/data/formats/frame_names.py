"""Matches files of a video, such as masks or predictions, to its frames by name."""

import dataclasses
import os
import re
from collections.abc import Mapping, Sequence

_CERTAIN_DIGITS = 3  # a number of so many digits within a name is that of a frame
_LISTED = 3  # names in a note


@dataclasses.dataclass(frozen=True)
class NameMatch:
  """Which frame each file belongs to.

  Attributes:
    frames: index of the frame, by the name of the file.
    note: how names were matched, for the user; empty if they are those of frames.
  """

  frames: Mapping[str, int]
  note: str = ""


def match_names(names: Sequence[str], frame_names: Sequence[str]) -> NameMatch:
  """Matches names without suffix to those of frames, where it is certain.

  Names are those of frames, or contain them between parts that all names share
  (`00003_mask`); or they have the same numbers with other zeros (3 for 00003); or they
  are as many as the frames, and both are evenly numbered (1 to 6 for 00000 to 00005).

  Args:
    names: of files; each belongs to another frame.
    frame_names: of all frames, in order.

  Raises:
    ValueError: it is not certain; the message gives an example and the remedy.
  """
  index = {name: t for t, name in enumerate(frame_names)}
  if all(name in index for name in names):
    return NameMatch({name: index[name] for name in names})
  found = (
    _match_parts(names, index)
    or _match_numbers(names, frame_names)
    or _match_order(names, frame_names)
  )
  if found is None:
    stray = [name for name in names if name not in index]
    raise ValueError(
      f"no frame is named {stray[0]!r}; masks must be named after frames "
      f"({frame_names[0]} to {frame_names[-1]})"
    )
  ordered = sorted(names, key=lambda name: found[name])
  frames = [frame_names[found[name]] for name in ordered]
  note = f"masks named {_span(ordered)} are matched to frames {_span(frames)}"
  if len(names) == 1:
    note = f"the mask named {ordered[0]} is matched to frame {frames[0]}"
  return NameMatch({name: found[name] for name in names}, note)


def find_number(names: Sequence[str]) -> list[int] | None:
  """The number in each name, between parts that all names share; None without one."""
  prefix = os.path.commonprefix(list(names))
  suffix = os.path.commonprefix([name[::-1] for name in names])[::-1]
  prefix = re.sub(r"\d+$", "", prefix)
  suffix = re.sub(r"^\d+", "", suffix)
  if len(names) == 1:
    groups = re.findall(r"\d+", names[0])
    return [int(groups[0])] if len(groups) == 1 else None
  middles = [name[len(prefix) : len(name) - len(suffix)] for name in names]
  if not all(middle.isdecimal() and middle.isascii() for middle in middles):
    return None
  return [int(middle) for middle in middles]


def _match_parts(
  names: Sequence[str], index: Mapping[str, int]
) -> dict[str, int] | None:
  """Frames by names that contain theirs, with the same parts around in all names."""
  matches = []
  for frame in index:
    start = names[0].find(frame)
    if frame.isdecimal() and len(frame) < _CERTAIN_DIGITS:
      continue  # mask_1 may be that of object 1
    if start < 0 or not _stands_alone(names[0], start, start + len(frame)):
      continue
    prefix, suffix = names[0][:start], names[0][start + len(frame) :]
    found = {}
    for name in names:
      inner = name[len(prefix) : len(name) - len(suffix)]
      if name == f"{prefix}{inner}{suffix}" and inner in index:
        found[name] = index[inner]
    if len(found) == len(names):
      matches.append(found)
  return matches[0] if len(matches) == 1 else None


def _stands_alone(name: str, start: int, end: int) -> bool:
  """Whether a part of a name is no part of a longer number or word."""
  before, inner_start = name[:start][-1:], name[start]
  after, inner_end = name[end:][:1], name[end - 1]
  return not any(
    a.isdecimal() and b.isdecimal() or a.isalpha() and b.isalpha()
    for a, b in ((before, inner_start), (inner_end, after))
  )


def _match_numbers(
  names: Sequence[str], frame_names: Sequence[str]
) -> dict[str, int] | None:
  """Frames of the same numbers, for names that are numbers or as many as frames."""
  numbers, frame_numbers = find_number(names), find_number(frame_names)
  if numbers is None or frame_numbers is None:
    return None
  skeletons = {re.sub(r"\d+", "#", name.lower()) for name in (*names, *frame_names)}
  if len(names) < len(frame_names) and not (
    all(name.isdecimal() for name in names)
    or len(skeletons) == 1
    or all("frame" in name.lower() for name in names)
  ):
    return None  # a few names such as obj1 and mask2 may be those of objects
  of_number = {number: t for t, number in enumerate(frame_numbers)}
  distinct = len(set(numbers)) == len(names) and len(of_number) == len(frame_names)
  if not distinct or not set(numbers) <= set(of_number):
    return None
  return {name: of_number[number] for name, number in zip(names, numbers)}


def _match_order(
  names: Sequence[str], frame_names: Sequence[str]
) -> dict[str, int] | None:
  """Frames in the order of numbers, if both are as many and evenly numbered."""
  numbers, frame_numbers = find_number(names), find_number(frame_names)
  if numbers is None or frame_numbers is None or len(names) != len(frame_names):
    return None
  if len(names) < 2 or not _is_even(numbers) or not _is_even(frame_numbers):
    return None
  if min(numbers) > 1 and abs(min(numbers) - min(frame_numbers)) > 1:
    return None  # perhaps another part of the video
  in_order = sorted(zip(numbers, names))
  frames = sorted(range(len(frame_names)), key=lambda t: frame_numbers[t])
  return {name: t for (_, name), t in zip(in_order, frames)}


def _is_even(numbers: Sequence[int]) -> bool:
  ordered = sorted(numbers)
  steps = {b - a for a, b in zip(ordered, ordered[1:])}
  return len(steps) == 1 and 0 not in steps


def _span(names: Sequence[str]) -> str:
  if len(names) <= _LISTED:
    return ", ".join(names)
  return f"{names[0]}..{names[-1]}"
