"""Says what is wrong: one line for an error, few lines for many files."""

import errno
import sys
from collections.abc import Iterable

BAD_INPUT = 2  # exit codes
INTERRUPTED = 130

_FEW = 5  # files with the same problem that are listed one by one
_HINTS = {
  errno.ENOSPC: "Free some space and run the command again.",
  errno.EDQUOT: "Free some space and run the command again.",
  errno.EACCES: "Choose a folder that you may read and write.",
  errno.EPERM: "Choose a folder that you may read and write.",
  errno.EROFS: "Choose a folder that you may write to.",
}
_MEMORY_HINTS = {
  "segment": "--max-size makes the frames smaller for the network.",
  "train": "In training, a larger config.stages.STAGE.accumulate passes each batch in "
  "smaller parts; a smaller batch_size or size needs less as well.",
}


def explain(error: Exception, command: str) -> str | None:
  """Says what a user can do about an error; None if it is a mistake of ours.

  Args:
    error: ValueErrors say all themselves; others are OSErrors and a lack of memory.
    command: that raised it, such as "segment".
  """
  if isinstance(error, OSError) and error.errno is not None:
    file = "" if error.filename is None else f"{error.filename}:"
    return f"{file} {error.strerror}. {_HINTS.get(error.errno, '')}".strip()
  text = str(error).strip() or type(error).__name__
  if isinstance(error, OSError | ValueError):
    return text
  if isinstance(error, MemoryError) or _is_out_of_memory(error):
    reason = text.splitlines()[0].rstrip(".")
    return f"not enough memory ({reason}). {_MEMORY_HINTS.get(command, '')}".strip()
  return None


def _is_out_of_memory(error: Exception) -> bool:
  """Whether JAX reports a lack of memory, which it words differently by device."""
  return isinstance(error, RuntimeError) and (
    "RESOURCE_EXHAUSTED" in str(error) or "out of memory" in str(error).lower()
  )


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
