"""Follows the objects of a project through its video, in a thread of its own.

The thread makes the passes of a `plan`: each begins after the last checkpoint before
its first stale frame. What the user paints meanwhile changes the plan, and the thread
goes on with the new one.
"""

import collections
import contextlib
import dataclasses
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, get_args

from vosjax.app.checkpoints import Checkpoints
from vosjax.app.making import make_pass, recording
from vosjax.app.plan import GivenObjects, Pass, PassName, Plan, make_plan
from vosjax.app.projects import Project
from vosjax.app.results import Result
from vosjax.inference.engine import VideoSegmenter
from vosjax.inference.prompts import Direction
from vosjax.media.pipeline import Background
from vosjax.media.video_frames import VideoFrames

_RATE_FRAMES = 24  # latest frames that the rate is measured on
_RATE_SECONDS = 3.0  # before it is told: frames of a batch come at once
_WRITES_AHEAD = 4  # results that wait to be written
THREAD = "follow"  # name of the thread of every follower

State = Literal["idle", "starting", "following", "paused", "done", "failed"]


@dataclasses.dataclass(frozen=True)
class Status:
  """What a follower is doing.

  Attributes:
    state: "starting" until the first frame of this start is segmented.
    direction: see `VideoSegmenter.run`.
    making: the pass that is being made.
    frame: the latest one that was segmented.
    steps: frames of all passes together; 0 if unknown.
    left: those that are still to segment.
    rate: frames per second, of the latest frames; 0 if unknown.
    message: what failed.
  """

  state: State = "idle"
  direction: Direction = "forward"
  making: PassName = "forward"
  frame: int | None = None
  steps: int = 0
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
      self._set(
        state="starting", direction=direction, message="", rate=0.0, steps=0, left=0
      )
      self._thread = threading.Thread(
        target=self._run, args=(direction,), name=THREAD, daemon=True
      )
      self._thread.start()

  def request_pause(self) -> None:
    """Stops after the frame in progress; callable in any thread."""
    self._stop.set()
    self._announce(None)

  @property
  def is_pausing(self) -> bool:
    """Whether a pause was requested while the frame in progress goes on."""
    return self._stop.is_set() and self.status.state in ("starting", "following")

  def pause(self) -> None:
    """Stops after the frame in progress, and returns when it has stopped."""
    with self._control:
      self.request_pause()
      self.wait()
      self._thread = None

  def wait(self, seconds: float | None = None) -> None:
    """Returns when nothing is segmented any more, or after some seconds."""
    thread = self._thread  # another thread may forget it meanwhile
    if thread is not None:
      thread.join(seconds)

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
    frames, results = (
      self.plan(self.status.direction).frames,
      self._project.results.final,
    )
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

  def _next(self, plan: Plan) -> tuple[Pass, list[int]] | None:
    """The first pass that is not complete, and the positions of what it lacks."""
    self._checkpoints.forget_all_but(plan.passes)
    found, steps, left = None, 0, 0
    for one in plan.passes:
      needed = [
        p for p, k in enumerate(one.frames) if one.name in plan.frames[k].passes
      ]
      steps += needed[-1] - needed[0] + 1 if needed else 0
      lacking = [p for p in range(len(one.frames)) if self._lacks(plan, one, p)]
      if lacking:
        left += lacking[-1] - lacking[0] + 1
        found = found or (one, lacking)
    self.status = dataclasses.replace(self.status, steps=steps, left=left)
    return found

  def _lacks(self, plan: Plan, one: Pass, position: int) -> bool:
    """Whether what a pass finds at a position is needed and not kept."""
    frame, key = one.frames[position], one.keys[position]
    planned, results = plan.frames[frame], self._project.results
    if one.name not in planned.passes or _has(results.final, frame, planned.key):
      return False
    mixed = len(planned.passes) > 1
    return not (mixed and one.name == "backward" and _has(results.backward, frame, key))

  def _follow(
    self,
    plan: Plan,
    one: Pass,
    lacking: Sequence[int],
    given: Mapping[int, GivenObjects],
  ) -> None:
    """Makes one pass as far as something is lacking, or until something changes.

    Args:
      plan: that the pass belongs to.
      one: the pass.
      lacking: positions in it, ascending.
      given: what was planned with.
    """
    project, wanted = self._project, set(lacking)
    prompts = project.prompts(given)
    if prompts is None:
      return
    making = make_pass(
      self._segmenter, self._video, one, given, prompts, self._checkpoints, lacking[0]
    )
    with (
      Background("write", ahead=_WRITES_AHEAD) as background,
      contextlib.closing(making) as found,
    ):
      for position, result in found:
        frame = one.frames[position]
        if position in wanted:
          planned = plan.frames[frame]
          keep = recording(
            self._segmenter, project.results, one, position, planned, result
          )
          background.submit(keep)
        if position >= lacking[0]:
          background.submit(self._wrote, frame)
        if self._stop.is_set() or project.given != given or position == lacking[-1]:
          return

  def _wrote(self, frame: int) -> None:
    """Called by the thread that writes, after each frame."""
    self._times.append(time.monotonic())
    seconds = self._times[-1] - self._times[0]
    known = seconds >= _RATE_SECONDS or len(self._times) == _RATE_FRAMES
    self.status = dataclasses.replace(
      self.status,
      state="following",
      frame=frame,
      left=max(0, self.status.left - 1),
      rate=(len(self._times) - 1) / seconds if known and seconds else 0.0,
    )
    self._announce(frame)


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
