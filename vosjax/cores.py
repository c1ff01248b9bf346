"""CPU cores that this process may use."""

import math
import os
import pathlib

_QUOTA = pathlib.Path("/sys/fs/cgroup/cpu.max")  # of a container, in cgroups version 2


def available() -> int:
  """Number of cores, of which a container may use fewer, as with Docker's `--cpus`."""
  try:
    cores = len(os.sched_getaffinity(0))
  except AttributeError:  # not Linux
    cores = os.cpu_count() or 1
  return max(1, min(cores, _quota(cores)))


def _quota(otherwise: int) -> int:
  """Cores whose time a container may use; `otherwise` if there is no limit."""
  try:
    time, period = _QUOTA.read_text().split()
    return math.ceil(int(time) / int(period))
  except (OSError, ValueError, ZeroDivisionError):  # there is no such file, or "max"
    return otherwise
