"""CPU cores that this process may use."""

import os


def available() -> int:
  """Number of cores; a quota of processor time, as Docker's `--cpus`, is not seen."""
  try:
    return len(os.sched_getaffinity(0))
  except AttributeError:  # not Linux
    return os.cpu_count() or 1
