"""Shares work over processes, and over the devices of each."""

import collections
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from typing import Generic, TypeVar

import jax

Item = TypeVar("Item")
Worker = TypeVar("Worker")

_RETRY_SECONDS = 10.0  # from one try of what is postponed to the next


def share_of_process(items: Sequence[Item]) -> Sequence[Item]:
  """This process's share of items that all processes know in the same order."""
  return items[jax.process_index() :: jax.process_count()]


def devices_for(items: Sequence[Item]) -> list[jax.Device]:
  """Devices of this process that work on items side by side: no more than items."""
  return jax.local_devices()[: len(items)]


class Postponed(Exception):
  """An item cannot be worked on yet, because another process works on it."""


def run_on_devices(
  make_worker: Callable[[], Worker],
  work: Callable[[Worker, Item, threading.Event], None],
  items: Sequence[Item],
) -> list[Item]:
  """Calls `work` with each item, on all devices of this process side by side.

  An item for which `work` raises `Postponed` is tried again after all others: whenever
  another one is completed, and every few seconds while any device works. Devices wait
  for that: if they left, the last one that works would have all postponed items alone.

  Args:
    make_worker: called once for each device, which is the default device then and while
      its worker works.
    work: (worker, item, stopped) -> None; ends early once `stopped` is set, because
      another device failed or the user interrupted.
    items: each is given to the next device that is free.

  Returns:
    Items that were postponed to the last.

  Raises:
    BaseException: the first other one that `make_worker` or `work` raises.
  """
  queue = _Queue(items)
  devices = devices_for(items)

  def serve() -> None:
    try:
      worker = make_worker()
      for item in queue:
        try:
          work(worker, item, queue.stopped)
        except Postponed:
          queue.postpone(item)
        else:
          queue.complete()
    except BaseException:
      queue.stop()
      raise

  def serve_on(device: jax.Device) -> None:
    with jax.default_device(device):
      serve()

  if len(devices) == 1:  # no thread, so that an interrupt arrives in the middle
    serve()
    return queue.postponed
  with futures.ThreadPoolExecutor(max(1, len(devices))) as pool:
    try:
      for done in futures.as_completed([pool.submit(serve_on, d) for d in devices]):
        done.result()
    finally:
      queue.stop()
  return queue.postponed


class _Queue(Generic[Item]):
  """Hands out items to threads, and those that are postponed again after the others.

  A thread calls `complete` or `postpone` before it asks for the next item.

  Attributes:
    postponed: items that were.
    stopped: set once no more items are handed out.
  """

  def __init__(self, items: Sequence[Item]):
    self.postponed: list[Item] = []
    self.stopped = threading.Event()
    self._pending = collections.deque(items)
    self._num_working = 0  # threads
    self._worth_trying = False  # those postponed
    self._changed = threading.Condition()

  def __iter__(self) -> Iterator[Item]:
    return self

  def __next__(self) -> Item:
    with self._changed:
      while not self.stopped.is_set():
        if not self._pending and self._worth_trying:
          self._pending.extend(self.postponed)
          self.postponed.clear()
          self._worth_trying = False
        if self._pending:
          self._num_working += 1
          return self._pending.popleft()
        if not (self.postponed and self._num_working):
          break
        if not self._changed.wait(_RETRY_SECONDS):
          self._worth_trying = True
      raise StopIteration

  def complete(self) -> None:
    with self._changed:
      self._worth_trying = True
      self._leave()

  def postpone(self, item: Item) -> None:
    with self._changed:
      self.postponed.append(item)
      self._leave()

  def stop(self) -> None:
    with self._changed:
      self.stopped.set()
      self._changed.notify_all()

  def _leave(self) -> None:
    self._num_working -= 1
    self._changed.notify_all()
