"""Follows the objects of a project through its video, in a thread of its own.

The thread makes the passes of a `plan`: each begins after the last checkpoint before
its first stale frame. What the user paints meanwhile changes the plan, and the thread
goes on with the new one.
"""

import collections
import concurrent.futures
import dataclasses
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, get_args

import numpy as np

from vosjax.app.checkpoints import Checkpoints
from vosjax.app.plan import GivenObjects, Pass, PassName, Plan, PlannedFrame, make_plan
from vosjax.app.projects import Project, Result
from vosjax.inference import both_ways
from vosjax.inference.engine import VideoSegmenter
from vosjax.inference.frame_result import FrameResult
from vosjax.inference.prompts import Direction
from vosjax.media.pipeline import ReadAhead
from vosjax.media.video_frames import VideoFrames

_RATE_FRAMES = 24  # latest frames that the rate is measured on
_READ_AHEAD = 4
_WRITES_AHEAD = 4  # results that wait to be written

State = Literal["idle", "starting", "following", "paused", "done", "failed"]


@dataclasses.dataclass(frozen=True)
class Status:
  """What a follower is doing.

  Attributes:
    state: "starting" until the first frame of this start is segmented.
    direction: see `VideoSegmenter.run`.
    making: the pass that is being made.
    frame: the latest one that was segmented.
    left: frames to segment, in all passes.
    rate: frames per second, of the latest frames; 0 if unknown.
    message: what failed.
  """

  state: State = "idle"
  direction: Direction = "forward"
  making: PassName = "forward"
  frame: int | None = None
  left: int = 0
  rate: float = 0.0
  message: str = ""

  @property
  def seconds_left(self) -> float | None:
    """How long the rest takes at this rate."""
    return self.left / self.rate if self.rate else None


def check_direction(direction: object) -> Direction:
  """Refuses an unknown direction.

  Raises:
    ValueError: it is not one of the three.
  """
  if direction not in get_args(Direction):
    raise ValueError(
      f"direction is {direction!r}; expected one of {list(get_args(Direction))}."
    )
  return direction  # type: ignore[return-value]  # checked above


class Follower:
  """Follows the objects of one project.

  Args:
    segmenter: shared with other projects; every pass has a session of its own.
    model: digest of the model and its options.
    project: whose results are written.
    video: the project's video.
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
    self._checkpoints = Checkpoints(project.checkpoints, segmenter)
    self._control = threading.RLock()
    self._stop = threading.Event()
    self._thread: threading.Thread | None = None
    self._times: collections.deque[float] = collections.deque(maxlen=_RATE_FRAMES)
    self._planned: tuple[Any, Plan] = (None, Plan((), {}))
    self.status = Status(direction=project.direction)

  def start(self, direction: Direction) -> None:
    """Follows until everything in reach is up to date.

    Raises:
      ValueError: nothing is painted yet.
    """
    if not self.plan(direction).passes:
      raise ValueError("nothing is painted yet: paint an object in any frame first.")
    with self._control:
      self.pause()
      self._stop.clear()
      self._times.clear()
      self._project.set_direction(direction)
      self._set(state="starting", direction=direction, message="", rate=0.0)
      self._thread = threading.Thread(target=self._run, args=(direction,), daemon=True)
      self._thread.start()

  def request_pause(self) -> None:
    """Stops after the frame in progress; callable in any thread."""
    self._stop.set()

  def pause(self) -> None:
    """Stops after the frame in progress, and returns when it has stopped."""
    with self._control:
      self.request_pause()
      self.wait()
      self._thread = None

  def wait(self, seconds: float | None = None) -> None:
    """Returns when nothing is segmented any more, or after some seconds."""
    if self._thread is not None:
      self._thread.join(seconds)

  def plan(self, direction: Direction) -> Plan:
    """What has to be done to follow what is painted now."""
    given = dict(self._project.given)
    known, kept = self._planned
    if known != (given, direction):  # a long video takes tens of milliseconds
      kept = make_plan(given, direction, len(self._video), self._model)
      self._planned = (given, direction), kept
    return kept

  def fresh(self) -> tuple[list[int], int]:
    """Numbers of the frames that are up to date, and how many are in reach."""
    frames, results = self.plan(self.status.direction).frames, self._project.results
    return [k for k, one in frames.items() if _has(results, k, one.key)], len(frames)

  def _set(self, **changes: Any) -> None:
    self.status = dataclasses.replace(self.status, **changes)
    self._announce(None)

  def _run(self, direction: Direction) -> None:
    try:
      while not self._stop.is_set():
        given = dict(self._project.given)
        plan = self.plan(direction)
        todo = self._next(plan)
        if todo is None:
          self._set(state="done", rate=0.0, left=0)
          return
        self.status = dataclasses.replace(self.status, making=todo[0].name)
        self._follow(plan, *todo, given)
      self._set(state="paused", rate=0.0)
    except (ValueError, OSError) as error:
      self._set(state="failed", message=str(error), rate=0.0)
    except Exception as error:  # the page must say that nothing goes on
      logging.exception("following %s failed", self._project.id)
      self._set(state="failed", message=f"{type(error).__name__}: {error}", rate=0.0)

  def _next(self, plan: Plan) -> tuple[Pass, int] | None:
    """The first pass that is not complete, and the position of what it lacks."""
    self._checkpoints.forget_all_but(plan.passes)
    found, left = None, 0
    for one in plan.passes:
      stale = next(
        (p for p in range(len(one.frames)) if self._lacks(plan, one, p)), None
      )
      if stale is not None:
        left += len(one.frames) - stale
        found = found or (one, stale)
    self.status = dataclasses.replace(self.status, left=left)
    return found

  def _lacks(self, plan: Plan, one: Pass, position: int) -> bool:
    """Whether what a pass finds at a position is needed and not kept."""
    frame, key = one.frames[position], one.keys[position]
    planned, project = plan.frames[frame], self._project
    if one.name not in planned.passes or _has(project.results, frame, planned.key):
      return False
    mixed = len(planned.passes) > 1
    return not (mixed and one.name == "backward" and _has(project.kept, frame, key))

  def _follow(
    self, plan: Plan, one: Pass, stale: int, given: Mapping[int, GivenObjects]
  ) -> None:
    """Makes one pass from its first stale position on, until something changes.

    Args:
      plan: that the pass belongs to.
      one: the pass.
      stale: position in it.
      given: what was planned with.
    """
    with _Recorder(self._wrote) as record:
      for position, result in self._results(one, stale, given):
        frame = one.frames[position]
        if position >= stale:
          planned = plan.frames[frame]
          needed = one.name in planned.passes
          write = self._keeping(one, position, planned, result) if needed else None
          record(frame, write)
        if self._stop.is_set() or self._project.given != given:
          return

  def _results(
    self, one: Pass, stale: int, given: Mapping[int, GivenObjects]
  ) -> Iterator[tuple[int, FrameResult]]:
    """Positions and results of a pass, after its last checkpoint before `stale`."""
    labels = self._project.given_labels
    prompts = {
      p: labels(t) for p, t in enumerate(one.frames) if t in given and given[t].objects
    }
    position, session = self._checkpoints.latest(one, stale)
    if session is None:
      position, session = -1, self._segmenter.new_session()
    frames = ReadAhead(_View(self._video, one.frames), _READ_AHEAD)
    results = self._segmenter.run(
      frames, prompts=prompts, direction="forward", session=session
    )
    with frames:
      try:
        for result in results:
          position += 1
          here = given.get(one.frames[position])
          absent = set(here.absent) & set(session.object_ids) if here else set()
          if absent:
            result = session.correct(absent=absent)
          yield position, result
          if self._checkpoints.is_due():
            self._checkpoints.save(one, position, session)
      finally:
        if session.frame is not None:
          self._checkpoints.save(one, position, session)

  def _keeping(
    self, one: Pass, position: int, planned: PlannedFrame, result: FrameResult
  ) -> Callable[[], None]:
    """A function that writes what a pass found in a frame, mixed if need be."""
    project, frame, key = self._project, one.frames[position], one.keys[position]
    if len(planned.passes) == 1:
      return lambda: project.record(frame, *_parts(planned.key, result))
    if one.name == "backward":
      return lambda: project.keep(frame, *_parts(key, result))
    readout = self._segmenter.new_session().setup.readout

    def mix() -> None:
      entry, labels, probs = project.kept_result(frame)
      backward = both_ways.KeptResult(
        entry.objects, labels, probs, np.asarray(entry.scores, np.float32)
      )
      ids = {*result.object_ids, *backward.object_ids}
      shares = {i: planned.shares[i] for i in ids}
      mixed = both_ways.join(readout, result, backward, shares)
      project.record(frame, *_parts(planned.key, mixed))

    return mix

  def _wrote(self, frame: int) -> None:
    """Called by the thread that writes, after each frame."""
    self._times.append(time.monotonic())
    seconds = self._times[-1] - self._times[0]
    self.status = dataclasses.replace(
      self.status,
      state="following",
      frame=frame,
      left=max(0, self.status.left - 1),
      rate=(len(self._times) - 1) / seconds if seconds else 0.0,
    )
    self._announce(frame)


class _View:
  """Frames of a video in the order of a pass."""

  def __init__(self, video: VideoFrames, frames: range):
    self._video, self._frames = video, frames

  def __len__(self) -> int:
    return len(self._frames)

  def __getitem__(self, position: int) -> np.ndarray:
    return self._video[self._frames[position]]


class _Recorder:
  """Writes results in order in another thread, while the next frames are segmented.

  Args:
    wrote: called with the number of each frame that has been written.
  """

  def __init__(self, wrote: Callable[[int], None]):
    self._wrote = wrote
    self._pool = concurrent.futures.ThreadPoolExecutor(1, "write")
    self._waiting: collections.deque[concurrent.futures.Future[None]] = (
      collections.deque()
    )

  def __enter__(self) -> Callable[[int, Callable[[], None] | None], None]:
    return self._submit

  def __exit__(self, kind: object, *error: object) -> None:
    self._pool.shutdown()
    if kind is None:
      for future in self._waiting:
        future.result()

  def _submit(self, frame: int, write: Callable[[], None] | None) -> None:
    self._waiting.append(self._pool.submit(self._write, frame, write))
    while len(self._waiting) > _WRITES_AHEAD:
      self._waiting.popleft().result()

  def _write(self, frame: int, write: Callable[[], None] | None) -> None:
    if write is not None:
      write()
    self._wrote(frame)


def _parts(key: str, result: FrameResult) -> tuple[Result, np.ndarray, np.ndarray]:
  """What a project keeps of a result."""
  entry = Result(
    key,
    tuple(int(i) for i in result.object_ids),
    tuple(float(score) for score in result.scores),
    tuple(bool(lost) for lost in result.lost),
  )
  return entry, np.asarray(result.labels), result.probs


def _has(results: Mapping[int, Result], frame: int, key: str) -> bool:
  return frame in results and results[frame].key == key


def ranges(numbers: list[int]) -> Iterator[tuple[int, int]]:
  """The first and the last number of each run without a gap.

  Args:
    numbers: ascending.
  """
  start = 0
  for k in range(1, len(numbers) + 1):
    if k == len(numbers) or numbers[k] != numbers[k - 1] + 1:
      yield numbers[start], numbers[k - 1]
      start = k
