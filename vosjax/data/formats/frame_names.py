"""Matches files of a video, such as masks or predictions, to its frames by name.

One set of rules says what is certain. Names are those of frames, or contain them
between parts that all names share (`00003_mask`); or they have the same numbers with
other zeros (3 for 00003); or they are as many as the frames, in all videos, and both
are evenly numbered (1 to 6 for 00000 to 00005).
"""

import collections
import dataclasses
import os
import re
from collections.abc import Iterator, Mapping, Sequence

_CERTAIN_DIGITS = 3  # a number of so many digits within a name is that of a frame
_LISTED = 3  # names in a note


@dataclasses.dataclass(frozen=True)
class NameMatch:
  """Which frame each file belongs to.

  Attributes:
    frames: index of the frame, by the name of the file, in the order of frames.
    how: how names were matched, "by name", "by number" or "in order"; empty if they are
      those of frames.
    note: the same for the user, with names.
  """

  frames: Mapping[str, int]
  how: str = ""
  note: str = ""


def match_names(names: Sequence[str], frame_names: Sequence[str]) -> NameMatch:
  """Matches every name without suffix to that of a frame, where it is certain.

  Args:
    names: of files; each belongs to another frame.
    frame_names: of all frames, in order.

  Raises:
    ValueError: it is not certain; the message gives an example and the remedy.
  """
  (match,) = match_videos([(names, frame_names)])
  if match is None:
    stray = next(name for name in names if name not in frame_names)
    raise ValueError(
      f"no frame is named {stray!r}; masks must be named after frames "
      f"({frame_names[0]} to {frame_names[-1]})"
    )
  return match


def match_videos(
  videos: Sequence[tuple[Sequence[str], Sequence[str]]], *, extra: bool = False
) -> list[NameMatch | None]:
  """Matches the files of each video to its frames, where it is certain.

  Args:
    videos: of each one the names of files and of frames, without suffix.
    extra: every frame needs a file, and there may be more files; otherwise, every file
      needs a frame, and there may be more frames.

  Returns:
    The match of each video; None where it is not certain.
  """
  matches = [_match(names, frames, extra) for names, frames in videos]
  in_order = [match is not None and match.how == "in order" for match in matches]
  has_files = [bool(names) for names, _ in videos]
  if all(found for found, listed in zip(in_order, has_files) if listed):
    return matches
  return [None if found else match for match, found in zip(matches, in_order)]


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


def _match(
  names: Sequence[str], frame_names: Sequence[str], extra: bool
) -> NameMatch | None:
  """The match of one video; see `match_videos`."""
  index = {name: t for t, name in enumerate(frame_names)}
  if set(frame_names) <= set(names) if extra else all(name in index for name in names):
    frames = {name: index[name] for name in names if name in index}
    return NameMatch(dict(sorted(frames.items(), key=lambda item: item[1])))
  # Among extra files, those that are named alike belong together.
  groups: dict[str, list[str]] = collections.defaultdict(list)
  for name in names:
    groups[_skeleton(name) if extra else ""].append(name)
  matches = [
    found
    for group in groups.values()
    if (found := _match_alike(group, frame_names, extra)) is not None
  ]
  return matches[0] if len(matches) == 1 else None


def _match_alike(
  names: Sequence[str], frame_names: Sequence[str], extra: bool
) -> NameMatch | None:
  """The match of names that are not those of frames."""
  for how, find in (
    ("by number" if frame_names[0].isdecimal() else "by name", _match_parts),
    ("by number", _match_numbers),
    ("in order", _match_order),
  ):
    pairs = find(names, frame_names, extra)
    if pairs is None:
      continue
    frames = dict(sorted(pairs.items(), key=lambda item: item[1]))
    matched = [frame_names[t] for t in frames.values()]
    note = f"masks named {_span(list(frames))} are matched to frames {_span(matched)}"
    if len(frames) == 1:
      note = f"the mask named {names[0]} is matched to frame {matched[0]}"
    return NameMatch(frames, how, note)
  return None


def _match_parts(
  names: Sequence[str], frame_names: Sequence[str], extra: bool
) -> dict[str, int] | None:
  """Frames whose names are contained in those of files, between the same parts."""
  index = {name: t for t, name in enumerate(frame_names)}
  matches = []
  for prefix, suffix in set(_parts_around(names, frame_names, extra)):
    found = {
      name: index[inner]
      for name in names
      if (inner := name[len(prefix) : len(name) - len(suffix)]) in index
      and name == f"{prefix}{inner}{suffix}"
    }
    if len(found) == len(frame_names if extra else names):
      matches.append(found)
  return matches[0] if len(matches) == 1 else None


def _parts_around(
  names: Sequence[str], frame_names: Sequence[str], extra: bool
) -> Iterator[tuple[str, str]]:
  """What stands before and after the name of a frame in that of a file."""
  if extra:
    pairs = [(name, frame_names[0]) for name in names]
  else:
    pairs = [(names[0], frame) for frame in frame_names]
  for name, frame in pairs:
    if frame.isdecimal() and len(frame) < _CERTAIN_DIGITS:
      continue  # mask_1 may be that of object 1
    start = name.find(frame)
    if start >= 0 and _stands_alone(name, start, start + len(frame)):
      yield name[:start], name[start + len(frame) :]


def _stands_alone(name: str, start: int, end: int) -> bool:
  """Whether a part of a name is no part of a longer number or word."""
  before, inner_start = name[:start][-1:], name[start]
  after, inner_end = name[end:][:1], name[end - 1]
  return not any(
    a.isdecimal() and b.isdecimal() or a.isalpha() and b.isalpha()
    for a, b in ((before, inner_start), (inner_end, after))
  )


def _match_numbers(
  names: Sequence[str], frame_names: Sequence[str], extra: bool
) -> dict[str, int] | None:
  """Frames of the same numbers, for names that are numbers or as many as frames."""
  numbers, frame_numbers = find_number(names), find_number(frame_names)
  if numbers is None or frame_numbers is None:
    return None
  if len(names) < len(frame_names) and not (
    all(name.isdecimal() for name in names)
    or len({_skeleton(name) for name in (*names, *frame_names)}) == 1
    or all("frame" in name.lower() for name in names)
  ):
    return None  # a few names such as obj1 and mask2 may be those of objects
  of_number = {number: t for t, number in enumerate(frame_numbers)}
  if len(set(numbers)) < len(names) or len(of_number) < len(frame_names):
    return None
  found = {
    name: of_number[number]
    for name, number in zip(names, numbers)
    if number in of_number
  }
  return found if len(found) == len(frame_names if extra else names) else None


def _match_order(
  names: Sequence[str], frame_names: Sequence[str], extra: bool
) -> dict[str, int] | None:
  """Frames in the order of numbers, if both are as many and evenly numbered."""
  numbers, frame_numbers = find_number(names), find_number(frame_names)
  if numbers is None or frame_numbers is None or len(names) != len(frame_names):
    return None
  step, frame_step = _find_step(numbers), _find_step(frame_numbers)
  if not step or (step != frame_step and (extra or step != 1 or not frame_step)):
    return None  # where files may be extra, frames may be some of many
  if min(numbers) > 1 and abs(min(numbers) - min(frame_numbers)) > 1:
    return None  # perhaps another part of the video
  in_order = sorted(zip(numbers, names))
  frames = sorted(range(len(frame_names)), key=lambda t: frame_numbers[t])
  return {name: t for (_, name), t in zip(in_order, frames)}


def _find_step(numbers: Sequence[int]) -> int:
  """The distance between all neighbours; 0 if it varies."""
  ordered = sorted(numbers)
  steps = {b - a for a, b in zip(ordered, ordered[1:])}
  return steps.pop() if len(steps) == 1 else 0


def _skeleton(name: str) -> str:
  """What is left of a name without its numbers."""
  return re.sub(r"\d+", "#", name.lower())


def _span(names: Sequence[str]) -> str:
  if len(names) <= _LISTED:
    return ", ".join(names)
  return f"{names[0]}..{names[-1]}"
