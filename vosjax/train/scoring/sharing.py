"""Shares work over processes, and over the devices of each."""

import collections
import threading
from collections.abc import Callable, Sequence
from concurrent import futures
from typing import TypeVar

import jax

Item = TypeVar("Item")
Worker = TypeVar("Worker")


def share_of_process(items: Sequence[Item]) -> Sequence[Item]:
  """This process's share of items that all processes know in the same order."""
  return items[jax.process_index() :: jax.process_count()]


def run_on_devices(
  make_worker: Callable[[], Worker],
  work: Callable[[Worker, Item, threading.Event], None],
  items: Sequence[Item],
) -> None:
  """Calls `work` with each item, on all devices of this process side by side.

  Args:
    make_worker: called once for each device, which is the default device then and while
      its worker works.
    work: (worker, item, stopped) -> None; ends early once `stopped` is set, because
      another device failed or the user interrupted.
    items: each is given to the next device that is free.

  Raises:
    BaseException: the first one that `make_worker` or `work` raises.
  """
  stopped, pending = threading.Event(), collections.deque(items)
  devices = jax.local_devices()[: len(items)]
  if len(devices) == 1:  # no thread, so that an interrupt arrives in the middle
    worker = make_worker()
    for item in items:
      work(worker, item, stopped)
    return

  def serve(device: jax.Device) -> None:
    with jax.default_device(device):
      worker = make_worker()
      while not stopped.is_set():
        try:
          item = pending.popleft()
        except IndexError:
          return
        work(worker, item, stopped)

  with futures.ThreadPoolExecutor(max(1, len(devices))) as pool:
    try:
      for done in futures.as_completed([pool.submit(serve, d) for d in devices]):
        done.result()
    finally:
      stopped.set()
