"""Makes one pass through a video, and turns what it finds into results."""

import contextlib
from collections.abc import Callable, Generator, Mapping

import numpy as np
from jaxtyping import UInt8

from vosjax.app.checkpoints import Checkpoints
from vosjax.app.plan import GivenObjects, Pass, PlannedFrame
from vosjax.app.projects import Labels
from vosjax.app.results import Result, Results
from vosjax.inference import both_ways
from vosjax.inference.engine import VideoSegmenter
from vosjax.inference.frame_result import FrameResult
from vosjax.media.pipeline import ReadAhead
from vosjax.media.video_frames import VideoFrames

_READ_AHEAD = 4


def make_pass(
  segmenter: VideoSegmenter,
  video: VideoFrames,
  one: Pass,
  given: Mapping[int, GivenObjects],
  prompts: Mapping[int, Labels],
  checkpoints: Checkpoints,
  before: int,
) -> Generator[tuple[int, FrameResult], None, None]:
  """Segments the frames of a pass, after its last checkpoint before a position.

  Saves a checkpoint every few seconds, and when it is closed before its end.

  Args:
    segmenter: that segments.
    video: the video.
    one: the pass.
    given: what is given in the video.
    prompts: labels of the frames in which objects are shown.
    checkpoints: of the project.
    before: the first position whose result is needed.

  Yields:
    Position and result of each frame, from `before` or earlier.
  """
  position, session = checkpoints.latest(one, before)
  if session is None:
    position, session = -1, segmenter.new_session()
  with ReadAhead(_FramesOfPass(video, one.frames), _READ_AHEAD) as frames:
    results = segmenter.run(
      frames,
      prompts={p: prompts[t] for p, t in enumerate(one.frames) if t in prompts},
      direction="forward",  # of the pass
      session=session,
    )
    try:
      for result in results:
        position += 1
        here = given.get(one.frames[position])
        absent = set(here.absent) & set(session.object_ids) if here else set()
        if absent:
          result = session.correct(absent=absent)
        yield position, result
        if checkpoints.is_due():
          checkpoints.save(one, position, session)
    finally:
      if session.frame is not None and position < len(one.frames) - 1:
        with contextlib.suppress(OSError):  # a full disk is told by what is written
          checkpoints.save(one, position, session)


def recording(
  segmenter: VideoSegmenter,
  results: Results,
  one: Pass,
  position: int,
  planned: PlannedFrame,
  found: FrameResult,
) -> Callable[[], None]:
  """A function that keeps what a pass found in a frame, mixed if need be.

  Args:
    segmenter: that found it.
    results: of the project.
    one: the pass.
    position: of the frame in the pass.
    planned: the frame.
    found: what was found.
  """
  frame, key = one.frames[position], one.keys[position]
  if len(planned.passes) == 1:
    return lambda: results.record(frame, *_parts(planned.key, found))
  if one.name == "backward":
    return lambda: results.record_backward(frame, *_parts(key, found))
  readout = segmenter.new_session().setup.readout

  def mix() -> None:
    entry, labels, probs = results.backward_result(frame)
    scores = np.asarray(entry.scores, np.float32)
    backward = both_ways.KeptResult(entry.objects, labels, probs, scores)
    ids = {*found.object_ids, *backward.object_ids}
    shares = {i: planned.shares[i] for i in ids}
    mixed = both_ways.join(readout, found, backward, shares)
    results.record(frame, *_parts(planned.key, mixed))

  return mix


class _FramesOfPass:
  """Frames of a video in the order of a pass."""

  def __init__(self, video: VideoFrames, frames: range):
    self._video, self._frames = video, frames

  def __len__(self) -> int:
    return len(self._frames)

  def __getitem__(self, position: int) -> UInt8[np.ndarray, "h w 3"]:
    return self._video[self._frames[position]]


def _parts(key: str, found: FrameResult) -> tuple[Result, np.ndarray, np.ndarray]:
  """What is kept of a frame: the result, labels and probabilities."""
  result = Result(
    key,
    tuple(int(i) for i in found.object_ids),
    tuple(float(score) for score in found.scores),
    tuple(bool(lost) for lost in found.lost),
  )
  return result, np.asarray(found.labels), found.probs
