"""Processes that this one starts: they get no signals, and end with it."""

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from multiprocessing import resource_tracker


@contextlib.contextmanager
def started_without_signals() -> Iterator[None]:
  """Processes that are started inside never get Ctrl-C or SIGTERM.

  These may reach a whole group of processes, but only the first one handles them: it
  ends the others. They inherit the signals that are blocked in this thread meanwhile.
  """
  if not hasattr(signal, "pthread_sigmask"):  # Windows
    yield
    return
  resource_tracker.ensure_running()  # otherwise its start unblocks the signals
  signals = (signal.SIGINT, signal.SIGTERM)
  before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
  try:
    yield
  finally:
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_with_parent() -> None:
  """Makes this process end with the one that started it, however that one ends."""
  threading.Thread(target=_await_parent, daemon=True).start()


def _await_parent() -> None:
  parent = multiprocessing.parent_process()
  if parent:
    parent.join()
    os._exit(1)  # nothing of such a process is worth saving
