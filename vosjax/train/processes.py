"""A run that several processes share: all of them train, the first one reports."""

import os
import sys

import jax
import numpy as np
from jax.experimental import multihost_utils

AUTO = "auto"


def connect(
  coordinator: str, num_processes: int | None, process_id: int | None
) -> None:
  """Joins the other processes; called before anything else of JAX.

  Args:
    coordinator: HOST:PORT at which the first process listens, or "auto" where JAX can
      find out by itself (Slurm, Open MPI, TPU pods).
    num_processes: how many there are; not needed with "auto".
    process_id: which one this is, from 0; likewise.

  Raises:
    ValueError: it is not said who is who, or the others cannot be reached.
  """
  if coordinator == AUTO:
    address = None
  elif num_processes is None or process_id is None:
    raise ValueError(
      f"--coordinator={coordinator} needs --num_processes and --process_id, too."
    )
  else:
    address = coordinator
  try:
    jax.distributed.initialize(address, num_processes, process_id)
  except RuntimeError as error:
    raise ValueError(f"--coordinator={coordinator}: {error}") from error
  sys.excepthook = _report_and_leave
  wait("connected")  # the first exchange must not find the others at work for long


def is_first() -> bool:
  """Whether this process writes files and speaks."""
  return jax.process_index() == 0


def leave(code: int) -> int:
  """The exit code of a failed process; of several, it ends here and now.

  Its regular end would wait for the others, which wait for its part of their work.
  When it is gone, they end, too.
  """
  if jax.process_count() > 1:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
  return code


def _report_and_leave(*error) -> None:
  sys.__excepthook__(*error)
  leave(1)


def wait(name: str) -> None:
  """Returns when all processes have come here."""
  if jax.process_count() > 1:
    multihost_utils.sync_global_devices(name)


def agree(value: int | None) -> int | None:
  """The largest value that any process has, or None; all must call it together."""
  if jax.process_count() == 1:
    return value
  mine = np.int32(-1 if value is None else value)
  largest = int(multihost_utils.process_allgather(mine).max())
  return None if largest < 0 else largest


def from_first(value: float | None) -> float | None:
  """The first process's value; all must call it together."""
  if jax.process_count() == 1:
    return value
  mine = np.float32(np.nan if value is None else value)
  shared = float(multihost_utils.broadcast_one_to_all(mine))
  return None if np.isnan(shared) else shared
