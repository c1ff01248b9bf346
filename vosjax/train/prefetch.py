"""Batches that are on the devices before a step needs them."""

import collections
import contextlib
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from jax.sharding import Mesh

from vosjax.train.step import shard
from vosjax.types import VideoBatch

_AHEAD = 2  # batches on the devices, besides the one of the current step


@contextlib.contextmanager
def on_devices(
  batches: Iterator[Mapping[str, Any]], mesh: Mesh
) -> Generator[Iterator[tuple[Sequence[str], VideoBatch]]]:
  """Takes batches and copies them to the devices in a thread, ahead of the steps.

  The thread that submits steps would otherwise do both between two of them, and a short
  step on a fast device ends sooner than that.

  Args:
    batches: the parts of this process.
    mesh: devices that share each batch.

  Yields:
    An iterator over the names of the clips and the batch, which raises what `batches`
    raises, in place of the batch that failed.
  """

  def fetch() -> tuple[Sequence[str], VideoBatch] | None:
    batch = next(batches, None)
    return None if batch is None else (batch["names"], shard(batch, mesh))

  def ahead() -> Iterator[tuple[Sequence[str], VideoBatch]]:
    pending.extend(pool.submit(fetch) for _ in range(_AHEAD))
    while (placed := pending.popleft().result()) is not None:
      pending.append(pool.submit(fetch))
      yield placed

  pool = ThreadPoolExecutor(1, thread_name_prefix="batches")
  pending: collections.deque[Future[Any]] = collections.deque()
  wait = True  # for the batch in progress, or else memory shared with workers is lost
  try:
    yield ahead()
  except KeyboardInterrupt:  # a second Ctrl-C acts at once
    wait = False
    raise
  finally:
    pool.shutdown(wait=wait, cancel_futures=True)
    pending.clear()
