"""Batches that are on the devices before a step needs them."""

import collections
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from jax.sharding import Mesh

from vosjax.train.step import shard
from vosjax.types import VideoBatch

_AHEAD = 2  # batches on the devices, besides the one of the current step


def on_devices(
  batches: Iterator[Mapping[str, Any]], mesh: Mesh
) -> Generator[tuple[Sequence[str], VideoBatch]]:
  """Takes batches and copies them to the devices in a thread, ahead of the steps.

  The thread that submits steps would otherwise do both between two of them, and a short
  step on a fast device ends sooner than that.

  Args:
    batches: the parts of this process.
    mesh: devices that share each batch.

  Yields:
    The names of the clips, and the batch.

  Raises:
    Exception: whatever `batches` raises, in place of the batch that failed.
  """

  def fetch() -> tuple[Sequence[str], VideoBatch] | None:
    batch = next(batches, None)
    return None if batch is None else (batch["names"], shard(batch, mesh))

  pool = ThreadPoolExecutor(1, thread_name_prefix="batches")
  try:
    pending = collections.deque(pool.submit(fetch) for _ in range(_AHEAD))
    while (placed := pending.popleft().result()) is not None:
      pending.append(pool.submit(fetch))
      yield placed
  finally:
    # Without waiting for the batch in progress: a second Ctrl-C acts at once.
    pool.shutdown(wait=False, cancel_futures=True)
