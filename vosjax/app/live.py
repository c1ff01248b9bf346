"""Collects for each window what has changed, from all threads, in the event loop."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator


class Changes:
  """What a window has not been told yet; many changes of a frame count as one."""

  def __init__(self) -> None:
    self._frames: set[int] = set()
    self._event = asyncio.Event()
    self._event.set()  # a new window is told the status at once

  def add(self, frame: int | None) -> None:
    """Notes a frame, or None for the status alone. In the event loop only."""
    if frame is not None:
      self._frames.add(frame)
    self._event.set()

  async def wait(self) -> None:
    """Waits until there is something to tell."""
    await self._event.wait()

  def take(self) -> set[int]:
    """The frames that have changed since the last call."""
    frames, self._frames = self._frames, set()
    self._event.clear()
    return frames


class Hub:
  """Passes changes of projects on to the windows that look at them."""

  def __init__(self) -> None:
    self._lock = threading.Lock()
    self._windows: dict[str, list[Changes]] = {}
    self._loop: asyncio.AbstractEventLoop | None = None

  def attach(self, loop: asyncio.AbstractEventLoop) -> None:
    """Names the event loop that windows are served in."""
    self._loop = loop

  @contextlib.contextmanager
  def subscribe(self, project_id: str) -> Iterator[Changes]:
    """The changes of a project, for one window."""
    changes = Changes()
    with self._lock:
      self._windows.setdefault(project_id, []).append(changes)
    try:
      yield changes
    finally:
      with self._lock:
        self._windows[project_id].remove(changes)

  def announce(self, project_id: str, frame: int | None) -> None:
    """Tells all windows of a project; callable in any thread."""
    loop = self._loop
    if loop is None or loop.is_closed():
      return
    with self._lock:
      windows = list(self._windows.get(project_id, ()))
    for changes in windows:
      loop.call_soon_threadsafe(changes.add, frame)
