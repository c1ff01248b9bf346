"""Checks that a downloaded dataset is complete, before records are made of it."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

_MAX_LISTED = 20


def refuse_incomplete(root: Path, problems: Sequence[str]) -> None:
  """Raises a ValueError that lists the problems of the dataset at `root`, if any."""
  if problems:
    more = len(problems) - _MAX_LISTED
    raise ValueError(
      f"{root}: incomplete: {'; '.join(problems[:_MAX_LISTED])}"
      f"{f'; and {more} more' if more > 0 else ''}. Download and unpack the dataset "
      "again."
    )


def wrong_counts(
  counts: Mapping[str, int], expected: Mapping[str, int], what: str
) -> list[str]:
  """One line for each part of a dataset that has another number of `what`."""
  return [
    f"{name}: {counts.get(name, 0)} of {count} {what}"
    for name, count in expected.items()
    if counts.get(name, 0) != count
  ]


def missing_numbers(name: str, frame_names: Sequence[str]) -> list[str]:
  """One line for each gap in the frames of a video that are numbered at even steps."""
  if len(frame_names) < 3 or not all(frame.isdigit() for frame in frame_names):
    return []
  numbers = [int(frame) for frame in frame_names]
  step = min(np.diff(numbers))
  absent = sorted(set(range(numbers[0], numbers[-1], step)) - set(numbers))
  return [f"{name}: no frame {str(n).zfill(len(frame_names[0]))}" for n in absent]


def frame_number(name: str) -> int:
  """The number at the end of a frame's name: 1 of `cars1_01.jpg` and `001_gt.pgm`.

  Raises:
    ValueError: the name has no number.
  """
  match = re.search(r"(\d+)$", Path(name).stem.removesuffix("_gt"))
  if match is None:
    raise ValueError(f"{name}: the file name ends with no frame number.")
  return int(match[1])
