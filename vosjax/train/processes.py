"""Several processes that train one model: all of them train, the first one reports."""

import json
import os
import signal
import sys
import types
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

AUTO = "auto"


def connect(
  coordinator: str, num_processes: int | None, process_id: int | None
) -> None:
  """Connects to the other processes; must precede any other use of JAX.

  Args:
    coordinator: HOST:PORT at which the first process listens, or "auto" where JAX can
      find out by itself (Slurm, Open MPI, TPU pods).
    num_processes: number of processes; not needed with "auto".
    process_id: index of this process, from 0; not needed with "auto".

  Raises:
    ValueError: a number is missing, or the other processes cannot be reached.
  """
  if coordinator == AUTO:
    address = None
  elif num_processes is None or process_id is None:
    raise ValueError(
      f"--coordinator={coordinator} also needs --num_processes and --process_id."
    )
  else:
    address = coordinator
  try:
    jax.distributed.initialize(address, num_processes, process_id)
  except RuntimeError as error:
    raise ValueError(f"--coordinator={coordinator}: {error}") from error
  if jax.default_backend() == "cpu":
    # The first process alone writes programs to a cache on disk. On CPU it would later
    # read them and the others compile, and they would wait for each other for ever:
    # programs from the cache exchange values in another order.
    jax.config.update("jax_enable_compilation_cache", False)
  # JAX only takes note of SIGTERM, which is to end whatever cannot save its state.
  signal.signal(signal.SIGTERM, signal.SIG_DFL)
  sys.excepthook = _report_and_exit
  # The first exchange of a group of devices times out after half a minute, which others
  # may be busy compiling for: every group that is used later has its first one now.
  barrier("connected")
  _sum_over_all_devices()


def _sum_over_all_devices() -> None:
  """An exchange of the group that trains together."""
  devices = np.array(jax.devices())
  sharding = NamedSharding(Mesh(devices, ("all",)), PartitionSpec("all"))
  ones = jax.make_array_from_callback(
    devices.shape, sharding, lambda _: np.ones(1, np.float32)
  )
  assert int(jax.jit(jnp.sum)(ones)) == len(devices)


def is_first() -> bool:
  """Whether this process writes files and logs progress."""
  return jax.process_index() == 0


def end_one_of_several(reason: str, code: int) -> None:
  """Says why and ends this process at once, if it is one of several.

  A regular exit would wait for the other processes, which in turn wait for this one's
  part of their work. Once it is gone, they end as well.

  Args:
    reason: in one sentence.
    code: of the exit.
  """
  if jax.process_count() == 1:
    return
  sys.stderr.write(f"vosjax: {' '.join(reason.split())}\n")
  exit_now(code)


def exit_now(code: int) -> None:
  """Ends this process at once, whatever its threads or other processes do."""
  sys.stdout.flush()
  sys.stderr.flush()
  os._exit(code)


def _report_and_exit(
  kind: type[BaseException], error: BaseException, trace: types.TracebackType | None
) -> None:
  sys.__excepthook__(kind, error, trace)
  if jax.process_count() > 1:
    exit_now(1)


def barrier(name: str) -> None:
  """Waits until all processes have reached the barrier of this name."""
  if jax.process_count() > 1:
    multihost_utils.sync_global_devices(name)


def agree(value: int | None) -> int | None:
  """The largest value of any process, or None; all processes must call it together."""
  if jax.process_count() == 1:
    return value
  local = np.int32(-1 if value is None else value)
  largest = int(multihost_utils.process_allgather(local).max())
  return None if largest < 0 else largest


def gather(value: Any) -> list[Any]:
  """The values of all processes, in their order; all must call it together.

  Args:
    value: anything that JSON can represent, of any size.
  """
  if jax.process_count() == 1:
    return [value]
  content = json.dumps(value).encode()
  size = agree(len(content))
  assert size is not None
  padded = np.frombuffer(content.ljust(size), np.uint8)  # JSON may end in blanks
  return [
    json.loads(row.tobytes()) for row in multihost_utils.process_allgather(padded)
  ]


def from_first(value: Any) -> Any:
  """The value of the first process; see `gather`."""
  return gather(value)[0]
