"""Batches that are on the devices before a step needs them."""

import collections
import contextlib
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from jax.sharding import Mesh

from vosjax.train.step import shard
from vosjax.types import VideoBatch

_AHEAD = 2  # batches on the devices, besides those of the steps that are submitted


@contextlib.contextmanager
def on_devices(
  batches: Iterable[Mapping[str, Any]], mesh: Mesh
) -> Generator[Iterator[tuple[Sequence[str], VideoBatch]], None, None]:
  """Takes batches and copies them to the devices in a thread, ahead of the steps.

  The thread that submits steps would otherwise do both between two of them, and a short
  step on a fast device ends sooner than that. At the end, the batch in progress is
  awaited.

  Args:
    batches: the parts of this process.
    mesh: devices that share each batch.

  Yields:
    An iterator over the names of the clips and the batch, which raises what `batches`
    raises, in place of the batch that failed.
  """
  source = (batch for batch in batches)  # ends with the first error, as generators do

  def fetch() -> tuple[Sequence[str], VideoBatch] | None:
    batch = next(source, None)
    return None if batch is None else (batch["names"], shard(batch, mesh))

  def ahead() -> Generator[tuple[Sequence[str], VideoBatch], None, None]:
    pending = collections.deque(pool.submit(fetch) for _ in range(_AHEAD))
    while (placed := pending.popleft().result()) is not None:
      pending.append(pool.submit(fetch))
      yield placed

  with contextlib.closing(ahead()) as placed:  # which frees the batches that are left
    pool = ThreadPoolExecutor(1, thread_name_prefix="batches")
    try:
      yield placed
    finally:
      pool.shutdown(cancel_futures=True)
