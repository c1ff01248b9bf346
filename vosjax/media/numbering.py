"""The order of frames by the numbers in their names, and the numbers that are missing.

Names are counters (`00012`, `frame_0012`) or times (`12.033`, nanoseconds).
"""

import re
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

from vosjax.data.formats.folders import by_number, first_few

_NUMBERED = re.compile(r"(.*?)(\d+(?:\.\d+)?)(\D*)", re.DOTALL)
_VERSION = re.compile(r"(?i)(^|[^a-z])v$")
_MAX_LISTED = 5
_FIRST_TIME = 10**9  # larger numbers count seconds, or parts of them
_MOST_IN_A_GAP = 10_000  # of a larger jump, this many are listed


class _Counted(NamedTuple):
  """Names that differ in nothing but a number."""

  prefix: str
  suffix: str
  numbers: dict[str, Decimal]


def in_order(names: Sequence[str]) -> list[str]:
  """Names in the order of their numbers: 9 before 10, 1.25 before 1.5.

  Raises:
    ValueError: two names have the same number, so that their order is unknown.
  """
  counted = _count(names)
  if counted is None:
    return sorted(names, key=by_number)
  uses = Counter(counted.numbers.values())
  twice = sorted(name for name, number in counted.numbers.items() if uses[number] > 1)
  if twice:
    raise ValueError(
      f"{first_few(twice, _MAX_LISTED)} have the same number. Rename or remove one."
    )
  return sorted(names, key=counted.numbers.__getitem__)


class Gap(NamedTuple):
  """Names that are missing between two that are there."""

  before: str
  absent: list[str]
  after: str


def gaps(names: Sequence[str]) -> list[Gap]:
  """What is missing between equally spaced counters, such as 0, 5, 10 and 20.

  Nothing is known to be missing between times, at which a camera happened to deliver
  a frame. Times are fractions, large numbers (seconds since 1970 have ten digits), and
  numbers whose distances are not whole multiples of the smallest one.

  Args:
    names: as `in_order` returns them.
  """
  counted = _count(names)
  if counted is None or len(names) < 3:
    return []
  numbers = [counted.numbers[name] for name in names]
  if any(number % 1 or number >= _FIRST_TIME for number in numbers):
    return []
  steps = [later - earlier for earlier, later in zip(numbers, numbers[1:])]
  smallest = min(steps)
  if any(step % smallest for step in steps):
    return []
  found = []
  for position, step in enumerate(steps):
    before, after = names[position], names[position + 1]
    width = len(before) - len(counted.prefix) - len(counted.suffix)
    absent = []
    for count in range(1, min(int(step / smallest), _MOST_IN_A_GAP)):
      number = str(numbers[position] + count * smallest).zfill(width)
      absent.append(f"{counted.prefix}{number}{counted.suffix}")
    if absent:
      found.append(Gap(before, absent, after))
  return found


def describe_gaps(found: Sequence[Gap]) -> str:
  """Gaps in words: "frame 3 is missing between 2 and 4; ..."."""
  listed = []
  for before, absent, after in found[:_MAX_LISTED]:
    some = "frame" if len(absent) == 1 else "frames"
    are = "is" if len(absent) == 1 else "are"
    names = first_few(absent, _MAX_LISTED)
    listed.append(f"{some} {names} {are} missing between {before} and {after}")
  if len(found) > _MAX_LISTED:
    listed.append(f"{len(found) - _MAX_LISTED} more gaps")
  return "; ".join(listed)


def _count(names: Sequence[str]) -> _Counted | None:
  """Splits names into a common prefix, a number and a common suffix."""
  numbers, around = {}, set()
  for name in names:
    match = _NUMBERED.fullmatch(name)
    if match is None:
      return None
    prefix, numbers[name], suffix = match.groups()
    around.add((prefix, suffix))
  if len(around) != 1:
    return None
  ((prefix, suffix),) = around
  parts = [number.partition(".") for number in numbers.values()]
  if _are_versions(prefix, parts):
    prefix += "".join(parts[0][:2])
    numbers = {name: counter for name, (_, _, counter) in zip(numbers, parts)}
  return _Counted(prefix, suffix, {name: Decimal(x) for name, x in numbers.items()})


def _are_versions(prefix: str, parts: Sequence[tuple[str, str, str]]) -> bool:
  """Whether names hold one version and a counter, as in shot_v02.0001, and no time."""
  if not prefix[-1:].isalpha() or len({part[:2] for part in parts}) > 1:
    return False
  counters = sorted(int(counter or 0) for _, _, counter in parts)
  is_row = counters[-1] - counters[0] == len(counters) - 1 > 0
  return parts[0][1] == "." and (is_row or bool(_VERSION.search(prefix)))
