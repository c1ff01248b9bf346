"""Follows the objects of a project through its video, in a thread of its own.

The thread works through the passes of `plan`: it goes back to the last checkpoint
before the first stale frame, segments from there on, and stops when it is told to. What
the user paints meanwhile changes the plan, and it goes on with the new one.
"""

import collections
import concurrent.futures
import dataclasses
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

import numpy as np

from vosjax.app.checkpoints import Checkpoints
from vosjax.app.plan import Direction, Pass, passes
from vosjax.app.projects import Given, Project, Result
from vosjax.inference.engine import VideoSegmenter
from vosjax.inference.frame_result import FrameResult
from vosjax.inference.session import Session
from vosjax.media.read import VideoFrames

_RATE_FRAMES = 24  # latest frames that the rate is measured on
_WRITES_AHEAD = 4  # results that wait to be written

State = Literal["idle", "starting", "following", "paused", "done", "failed"]


@dataclasses.dataclass(frozen=True)
class Status:
  """What a follower is doing.

  Attributes:
    state: "starting" until the first frame of this start is segmented.
    direction: see `plan.passes`.
    frame: the latest one that was segmented.
    done: how many frames are up to date.
    total: how many frames the plan reaches.
    rate: frames per second, of the latest frames; 0 if unknown.
    message: what failed.
  """

  state: State = "idle"
  direction: Direction = "both"
  frame: int | None = None
  done: int = 0
  total: int = 0
  rate: float = 0.0
  message: str = ""

  @property
  def seconds_left(self) -> float | None:
    """How long the rest takes at this rate."""
    return (self.total - self.done) / self.rate if self.rate else None


class Follower:
  """Follows the objects of one project.

  Args:
    segmenter: shared with other projects; every pass has a session of its own.
    model: digest of the model and its options.
    project: whose results are written.
    video: the project's video, which nothing else reads.
    announce: called from the thread with the number of each frame that has a new
      result, or None if only the status has changed.
  """

  def __init__(
    self,
    segmenter: VideoSegmenter,
    model: str,
    project: Project,
    video: VideoFrames,
    announce: Callable[[int | None], None],
  ):
    self._segmenter, self._model, self._project = segmenter, model, project
    self._video, self._announce = video, announce
    self._checkpoints = Checkpoints(project.checkpoints, len(video), segmenter)
    self._control = threading.RLock()
    self._stop = threading.Event()
    self._thread: threading.Thread | None = None
    self.status = Status()

  @property
  def running(self) -> bool:
    """Whether frames are being segmented."""
    return self._thread is not None and self._thread.is_alive()

  def start(self, direction: Direction) -> None:
    """Follows until everything in reach is up to date.

    Raises:
      ValueError: nothing is painted yet.
    """
    if not _starting_points(self._project.given):
      raise ValueError("nothing is painted yet: paint an object in any frame first.")
    with self._control:
      self.pause()
      self._stop.clear()
      self._set(state="starting", direction=direction, message="", rate=0.0)
      self._thread = threading.Thread(target=self._run, args=(direction,), daemon=True)
      self._thread.start()

  def pause(self) -> None:
    """Stops after the frame in progress, and returns when it has stopped."""
    with self._control:
      self._stop.set()
      if self._thread is not None:
        self._thread.join()
        self._thread = None

  def current_passes(self, direction: Direction) -> list[Pass]:
    """The passes over what is painted now."""
    digests = _starting_points(self._project.given)
    return passes(digests, direction, len(self._video), self._model)

  def keys(self, direction: Direction) -> dict[int, str]:
    """The current key of each frame that can be reached."""
    return {k: key for one in self.current_passes(direction) for k, key in one.results()}

  def fresh(self, direction: Direction) -> list[int]:
    """Numbers of the frames whose results are up to date, in ascending order."""
    results = self._project.results
    keys = self.keys(direction)
    return sorted(k for k, key in keys.items() if _is_fresh(results.get(k), key))

  def _set(self, **changes: Any) -> None:
    self.status = dataclasses.replace(self.status, **changes)
    self._announce(None)

  def _run(self, direction: Direction) -> None:
    try:
      while not self._stop.is_set():
        todo = self._next_pass(direction)
        if todo is None:
          self._set(state="done", rate=0.0)
          return
        self._follow(*todo, dict(self._project.given))
      self._set(state="paused", rate=0.0)
    except (ValueError, OSError) as error:
      self._set(state="failed", message=str(error), rate=0.0)
    except Exception as error:  # the page must say that nothing goes on
      logging.exception("following %s failed", self._project.id)
      self._set(state="failed", message=f"{type(error).__name__}: {error}", rate=0.0)

  def _next_pass(self, direction: Direction) -> tuple[Pass, int] | None:
    """The first pass with stale results, and the position of the first of them."""
    current = self.current_passes(direction)
    self._checkpoints.forget_all_but(current)
    results, found, done, total = self._project.results, None, 0, 0
    for one in current:
      fresh = [_is_fresh(results.get(k), key) for k, key in one.results()]
      done, total = done + sum(fresh), total + len(fresh)
      if found is None and not all(fresh):
        found = one, one.first_result + fresh.index(False)
    self.status = dataclasses.replace(self.status, done=done, total=total)
    return found

  def _follow(
    self, todo: Pass, first_stale: int, given: Mapping[int, Given]
  ) -> None:
    """Segments one pass from its first stale frame on, until something changes.

    Args:
      todo: the pass.
      first_stale: position in it.
      given: what the pass was planned with.
    """
    position, session = self._checkpoints.latest(todo, first_stale)
    if session is None:
      position, session = -1, self._segmenter.new_session()
    times: collections.deque[float] = collections.deque(maxlen=_RATE_FRAMES)
    with _Recorder(self._project, self._wrote(times)) as record:
      for position in range(position + 1, len(todo.frames)):
        frame = todo.frames[position]
        result = _segment(session, self._video, frame, given.get(frame), self._project)
        if position >= first_stale:
          record(frame, todo.keys[position], result)
        stopping = self._stop.is_set() or self._project.given != given
        if stopping or self._checkpoints.is_due(position):
          self._checkpoints.save(todo, position, session)
        if stopping:
          return

  def _wrote(self, times: collections.deque[float]) -> Callable[[int], None]:
    def announce(frame: int) -> None:
      times.append(time.monotonic())
      seconds = times[-1] - times[0]
      rate = (len(times) - 1) / seconds if seconds else 0.0
      self.status = dataclasses.replace(
        self.status,
        state="following",
        frame=frame,
        done=min(self.status.done + 1, self.status.total),
        rate=rate,
      )
      self._announce(frame)

    return announce


def _segment(
  session: Session,
  video: VideoFrames,
  frame: int,
  given: Given | None,
  project: Project,
) -> FrameResult:
  """Segments the next frame of a session, and tells it what is given there."""
  if session.frame is None:
    assert given is not None, "a pass begins with a given frame"
    return session.start(video[frame], project.given_labels(frame))
  result = session.step(video[frame])
  if given is None:
    return result
  labels = project.given_labels(frame)
  known = set(session.object_ids)
  for object_id in known & {*given.objects, *given.absent}:
    session.remove(object_id)
  if given.objects:
    session.add(labels)
  return result


class _Recorder:
  """Writes results in order in another thread, while the next frames are segmented.

  Args:
    project: where they are kept.
    wrote: called with the number of each frame that has been written.
  """

  def __init__(self, project: Project, wrote: Callable[[int], None]):
    self._project, self._wrote = project, wrote
    self._pool = concurrent.futures.ThreadPoolExecutor(1)
    self._waiting: collections.deque[concurrent.futures.Future[None]] = (
      collections.deque()
    )

  def __enter__(self) -> Callable[[int, str, FrameResult], None]:
    return self._submit

  def __exit__(self, *error: object) -> None:
    self._pool.shutdown()
    for future in self._waiting:
      future.result()

  def _submit(self, frame: int, key: str, result: FrameResult) -> None:
    self._waiting.append(self._pool.submit(self._write, frame, key, result))
    while len(self._waiting) > _WRITES_AHEAD:
      self._waiting.popleft().result()

  def _write(self, frame: int, key: str, result: FrameResult) -> None:
    ids = tuple(int(i) for i in result.object_ids)
    scores, lost = (1.0,) * len(ids), (False,) * len(ids)
    entry = Result(key, ids, scores, lost)
    self._project.record(frame, entry, np.asarray(result.labels), result.probs)
    self._wrote(frame)


def _is_fresh(result: Result | None, key: str) -> bool:
  return result is not None and result.key == key


def _starting_points(given: Mapping[int, Given]) -> dict[int, str]:
  """Digests of given frames between the first and the last one that show an object."""
  showing = [k for k, one in given.items() if one.objects]
  if not showing:
    return {}
  return {
    k: one.digest for k, one in given.items() if min(showing) <= k <= max(showing)
  }


def ranges(numbers: list[int]) -> Iterator[tuple[int, int]]:
  """Ascending numbers as (first, last) of each run without a gap."""
  for number in numbers:
    if number == numbers[0]:
      first = last = number
    elif number == last + 1:
      last = number
    else:
      yield first, last
      first = last = number
  if numbers:
    yield first, last
