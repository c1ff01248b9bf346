"""Stages of a job in threads of their own, with bounded queues between them.

Decoding, image files and video encoders release the interpreter, so that they run
beside the network. `ReadAhead` reads items before they are asked for; `Background`
calls functions while its caller goes on. Errors reach the caller as they are.
"""

import collections
import functools
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from vosjax import cores


class ReadAhead:
  """A sequence whose next items are read in a thread before they are asked for.

  All items are read in the same thread, one after another, so that the sequence need
  not be safe for threads. Used as a context manager, whose end stops the thread.

  Args:
    items: the sequence, such as the frames of a video.
    ahead: how many items are read, and kept, before they are asked for.

  An item that cannot be read raises its error when it is asked for, not before.
  """

  def __init__(self, items: Sequence[Any] | Any, ahead: int):
    self._items, self._ahead = items, ahead
    self._reader = ThreadPoolExecutor(1, "read-ahead")
    self._pending: dict[int, Future[Any]] = {}
    self._latest = -1  # the item that was asked for last

  def __len__(self) -> int:
    return len(self._items)

  def __getitem__(self, index: int) -> Any:
    if not 0 <= index < len(self):
      raise IndexError(index)
    read = self._pending.pop(index, None)
    if read is None:
      if index == self._latest + 1:
        self._forget(len(self))  # reading goes on elsewhere
      read = self._read(index)
    else:
      self._forget(index)  # items that were skipped
    self._latest = index
    first = max(self._pending, default=index) + 1
    missing = self._ahead - len(self._pending)
    for later in range(first, min(first + missing, len(self))):
      self._pending[later] = self._read(later)
    return read.result()

  def _read(self, index: int) -> "Future[Any]":
    return self._reader.submit(self._items.__getitem__, index)

  def _forget(self, end: int) -> None:
    """Drops items before `end` that nobody asked for."""
    for index in [index for index in self._pending if index < end]:
      self._pending.pop(index).cancel()

  def __enter__(self) -> "ReadAhead":
    return self

  def __exit__(self, *_: object) -> None:
    self._pending.clear()
    self._reader.shutdown(cancel_futures=True)


class Background:
  """Calls functions in threads while its caller goes on.

  Used as a context manager. A block that ends without an error waits for all calls; one
  that fails waits only for those that have begun and cancels all others. Ctrl-C ends
  `submit` or `wait`, but loses no call, so that both can be used again after it.

  Args:
    name: of the threads.
    ahead: how many calls may be unfinished; `submit` waits while there are as many.
    workers: number of threads. One of them makes the calls in the order of `submit`.
  """

  def __init__(self, name: str, *, ahead: int, workers: int = 1):
    self._pool = ThreadPoolExecutor(workers, name)
    self._ahead = ahead
    self._waiting: collections.deque[Callable[[], object]] = collections.deque()
    self._running = 0  # changed by the workers alone, which nothing interrupts
    self._lock = threading.RLock()
    self._finished = threading.Condition(self._lock)
    self._error: BaseException | None = None

  def submit(self, function: Callable[..., object], *args: Any) -> None:
    """Calls `function(*args)` soon.

    Raises:
      BaseException: the first error of an earlier call. No call begins after it.
    """
    self._raise()
    self._wait_until(self._ahead - 1)
    # A call is counted because it is here: Ctrl-C cannot come in between.
    self._waiting.append(functools.partial(function, *args))
    self._pool.submit(self._work)

  def wait(self) -> None:
    """Waits for all calls.

    Raises:
      BaseException: the first error of a call.
    """
    self._wait_until(0)
    self._raise()

  def close(self, error: BaseException | None) -> None:
    """Ends the threads, after all calls or, after an error, without what waits."""
    try:
      if error is None:
        self.wait()
    finally:
      with self._lock:
        self._waiting.clear()
      self._pool.shutdown(cancel_futures=True)

  def _wait_until(self, most: int) -> None:
    """Waits until at most so many calls are unfinished."""
    if self._waiting:  # Ctrl-C may have kept `submit` from asking for a worker
      self._pool.submit(self._work)
    with self._lock:
      self._finished.wait_for(lambda: len(self._waiting) + self._running <= most)

  def _work(self) -> None:
    """Makes calls until none waits."""
    while True:
      with self._lock:
        if not self._waiting:
          return
        call = self._waiting.popleft()
        self._running += 1
      try:
        if self._error is None:
          call()
      except BaseException as error:
        self._error = error if self._error is None else self._error
      finally:
        with self._lock:
          self._running -= 1
          self._finished.notify_all()

  def _raise(self) -> None:
    if self._error is not None:
      raise self._error

  def __enter__(self) -> "Background":
    return self

  def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
    self.close(error)


def num_workers() -> int:
  """Number of threads that share work on frames that do not depend on each other."""
  return min(4, cores.available())
