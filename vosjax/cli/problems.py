"""Prints what is wrong with many files in few lines."""

import sys
from collections.abc import Iterable

_FEW = 5  # files with the same problem that are listed one by one


def print_problems(problems: Iterable[str]) -> None:
  """Prints problems to standard error, see `join_equal`."""
  print(*join_equal(problems), sep="\n", file=sys.stderr)


def join_equal(problems: Iterable[str]) -> list[str]:
  """One line for all files that have the same problem, unless they are few.

  Args:
    problems: lines of the form `FILE: PROBLEM`.
  """
  files: dict[str, list[str]] = {}
  for line in problems:
    file, _, problem = line.partition(": ")
    files.setdefault(problem, []).append(file)
  lines = []
  for problem, names in files.items():
    if len(names) > _FEW:
      more = f" The same applies to {len(names) - 1} more, up to {names[-1]}."
      lines.append(f"{names[0]}: {problem}{more}")
    else:
      lines += [f"{name}: {problem}" if problem else name for name in names]
  return lines
