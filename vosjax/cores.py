"""CPU cores of this machine."""

import os


def available() -> int:
  """Number of cores that this process may use."""
  try:
    return len(os.sched_getaffinity(0))  # schedulers and containers may allow a few
  except AttributeError:  # not Linux
    return os.cpu_count() or 1
