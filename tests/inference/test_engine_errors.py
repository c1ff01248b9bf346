"""Errors of the streaming engine name the method, the argument and what to do."""

import inspect

import numpy as np
import pytest

import vosjax
from vosjax.inference import programs
from vosjax.inference.session import Session

SIZE = (32, 48)
# Without the checks of annotations that the tests switch on.
start, step = inspect.unwrap(Session.start), inspect.unwrap(Session.step)
GRAY = np.zeros(SIZE, np.uint8)
RGB = np.zeros((*SIZE, 3), np.uint8)
ONE = np.pad(np.ones((8, 8), np.uint8), ((0, 24), (0, 40)))
NONE = np.zeros(SIZE, np.uint8)


@pytest.mark.parametrize(
  ("frame", "labels", "message"),
  [
    (GRAY, ONE, r"start\(\): frame is uint8 \[32, 48\]; expected uint8 RGB"),
    (RGB / 255, ONE, r"start\(\): frame is float64 \[32, 48, 3\]"),
    (RGB[..., :1], ONE, r"start\(\): frame is uint8 \[32, 48, 1\]"),
    (RGB, None, r"start\(\): labels are None, but this model is one-shot"),
    (RGB, NONE, r"start\(\): labels contain no object.*Give each object a"),
    (RGB, NONE + np.uint8(255), r"start\(\): labels contain no object"),
    (RGB, ONE[:, 1:], r"start\(\): labels are uint8 \[32, 47\].*\[32, 48\]"),
    (RGB, RGB, r"start\(\): labels are uint8 \[32, 48, 3\]; expected integers"),
    (RGB, ONE / 2, r"start\(\): labels are float64 \[32, 48\]; expected integers"),
    (RGB, ONE.astype(int) - 2, r"start\(\): labels range from -2 to -1; ids are 1 to"),
    (
      RGB,
      ONE * np.int64(2**31),
      r"start\(\): labels range from 0 to 2147483648; ids are 1 to",
    ),
  ],
)
def test_bad_first_frames(tiny, frame, labels, message):
  session = vosjax.VideoSegmenter(*tiny).new_session()
  with pytest.raises(ValueError, match=message):
    start(session, frame, labels)


@pytest.mark.parametrize(
  ("call", "message"),
  [
    (
      lambda s: s.step(RGB[:16]),
      r"step\(\): frame is 16x48 but the video began with 32x48",
    ),
    (lambda s: step(s._session, GRAY), r"step\(\): frame is uint8 \[32, 48\]"),
    (lambda s: s.step(RGB, ONE[:16]), r"step\(\): labels are uint8 \[16, 48\]"),
    (lambda s: s.step(RGB, ONE), r"step\(\): objects \[1\] are tracked already"),
    (
      lambda s: s.add(ONE),
      r"add\(\): objects \[1\] are tracked already \(tracking \[1\]\)",
    ),
    (lambda s: s.add(NONE), r"add\(\): labels contain no object"),
    (lambda s: s.add(ONE[:16]), r"add\(\): labels are uint8 \[16, 48\]"),
    (lambda s: s.remove(5), r"remove\(\): object 5 is not tracked \(tracking \[1\]\)"),
    (
      lambda s: s.add(np.eye(*SIZE, dtype=int) + 2 * (ONE == 0) + 3),
      r"add\(\): .* new objects \[.*\] but 2 of 3 slots are free.*Raise max_objects",
    ),
  ],
)
def test_refused_calls_change_nothing(tiny, frames, call, message):
  """The video goes on as if the call had not been made."""
  segmenter = vosjax.VideoSegmenter(*tiny, max_objects=3)
  untouched = segmenter.new_session()
  for session in (segmenter, untouched):
    session.start(frames[0], ONE)
    session.step(frames[1])
  with pytest.raises(ValueError, match=message):
    call(segmenter)
  assert segmenter.object_ids == (1,)
  np.testing.assert_array_equal(
    segmenter.step(frames[2]).probs, untouched.step(frames[2]).probs
  )


@pytest.mark.parametrize(
  ("labels", "message"),
  [
    (np.arange(2, 5).repeat(512).reshape(SIZE), "3 new objects .* but 2 of 3"),
    (ONE, r"objects \[1\] are tracked already"),
  ],
)
def test_a_refused_frame_is_not_the_latest_one(labels, message, tiny, frames):
  """Objects that are added afterwards belong to the frame before it."""
  segmenter = vosjax.VideoSegmenter(*tiny, max_objects=3)
  untouched = segmenter.new_session()
  for session in (segmenter, untouched):
    session.start(frames[0], ONE)
  with pytest.raises(ValueError, match=rf"step\(\): {message}"):
    segmenter.step(frames[3], labels)
  for session in (segmenter, untouched):
    session.add(np.roll(2 * ONE, 20))
  np.testing.assert_array_equal(
    segmenter.step(frames[1]).probs, untouched.step(frames[1]).probs
  )


def test_calls_before_start_are_refused(tiny):
  segmenter = vosjax.VideoSegmenter(*tiny)
  message = r"no video is in progress. Call start\(\) with the first frame"
  with pytest.raises(ValueError, match=rf"step\(\): {message}") as caught:
    segmenter.step(RGB)
  assert caught.value.__suppress_context__  # the traceback shows a single error
  with pytest.raises(ValueError, match=rf"add\(\): {message}"):
    segmenter.add(ONE)
  with pytest.raises(ValueError, match=r"remove\(\): object 1 is not tracked"):
    segmenter.remove(1)


def test_max_objects_must_be_positive(tiny):
  with pytest.raises(ValueError, match="max_objects must be at least 1, not 0"):
    vosjax.VideoSegmenter(*tiny, max_objects=0)


def test_a_start_that_fails_leaves_the_previous_video_as_it_was(tiny, monkeypatch):
  segmenter = vosjax.VideoSegmenter(*tiny, max_objects=3)
  segmenter.start(RGB, ONE)

  def fail(*args):
    raise MemoryError

  with monkeypatch.context() as patch:
    patch.setattr(programs, "encode", fail)
    with pytest.raises(MemoryError):
      segmenter.start(RGB[:16], ONE[:16])
  with pytest.raises(ValueError, match=r"start\(\): 4 new objects .* but 3 of 3"):
    segmenter.start(RGB[:16], np.arange(1, 5).repeat(192).reshape(16, 48))
  assert segmenter.object_ids == (1,)
  assert segmenter.step(RGB).labels.shape == SIZE
