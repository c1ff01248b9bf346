"""What the streaming engine refuses, and in which words."""

import inspect

import numpy as np
import pytest

import vosjax
from vosjax.inference import programs

SIZE = (32, 48)
unchecked_step = inspect.unwrap(vosjax.VideoSegmenter.step)
GREY = np.zeros(SIZE, np.uint8)
RGB = np.zeros((*SIZE, 3), np.uint8)
ONE = np.pad(np.ones((8, 8), np.uint8), ((0, 24), (0, 40)))
NONE = np.zeros(SIZE, np.uint8)


@pytest.mark.parametrize(
  ("frame", "labels", "message"),
  [
    (GREY, ONE, r"start\(\): frame is uint8 \[32, 48\]; expected uint8 RGB"),
    (RGB / 255, ONE, r"start\(\): frame is float64 \[32, 48, 3\]"),
    (RGB[..., :1], ONE, r"start\(\): frame is uint8 \[32, 48, 1\]"),
    (RGB, None, r"start\(\): labels are None, but this model is one-shot"),
    (RGB, NONE, r"start\(\): labels hold no object.*Give a mask with one"),
    (RGB, NONE + np.uint8(255), r"start\(\): labels hold no object"),
    (RGB, ONE[:, 1:], r"start\(\): labels are uint8 \[32, 47\].*\[32, 48\]"),
    (RGB, RGB, r"start\(\): labels are uint8 \[32, 48, 3\]; expected integers"),
    (RGB, ONE / 2, r"start\(\): labels are float64 \[32, 48\]; expected integers"),
    (RGB, ONE.astype(int) - 2, r"start\(\): labels hold -2 to -1; ids are 1 to"),
  ],
)
def test_bad_first_frames(tiny, frame, labels, message):
  segmenter = vosjax.VideoSegmenter(*tiny)
  start = inspect.unwrap(vosjax.VideoSegmenter.start)  # before annotations are checked
  with pytest.raises(ValueError, match=message):
    start(segmenter, frame, labels)


@pytest.mark.parametrize(
  ("call", "message"),
  [
    (lambda s: s.step(RGB[:16]), r"frame is 16x48 but the video began with 32x48"),
    (lambda s: unchecked_step(s, GREY), r"step\(\): frame is uint8 \[32, 48\]"),
    (lambda s: s.step(RGB, ONE[:16]), r"step\(\): labels are uint8 \[16, 48\]"),
    (lambda s: s.step(RGB, ONE), r"objects \[1\] are tracked already"),
    (lambda s: s.add(ONE), r"objects \[1\] are tracked already \(tracking \[1\]\)"),
    (lambda s: s.add(NONE), r"add\(\): labels hold no object"),
    (lambda s: s.add(ONE[:16]), r"add\(\): labels are uint8 \[16, 48\]"),
    (lambda s: s.remove(5), r"object 5 is not tracked \(tracking \[1\]\)"),
    (
      lambda s: s.add(np.eye(*SIZE, dtype=int) + 2 * (ONE == 0) + 3),
      r"new objects \[.*\] but 1 of 2 slots are free.*Raise max_objects",
    ),
  ],
)
def test_bad_calls_are_refused_and_change_nothing(tiny, frames, call, message):
  """The video goes on as if the call had not been made."""
  spoilt = vosjax.VideoSegmenter(*tiny, max_objects=2)
  untouched = vosjax.VideoSegmenter(*tiny, max_objects=2)
  for segmenter in (spoilt, untouched):
    segmenter.start(frames[0], ONE)
    segmenter.step(frames[1])
  with pytest.raises(ValueError, match=message):
    call(spoilt)
  assert spoilt.object_ids == (1,)
  np.testing.assert_array_equal(
    spoilt.step(frames[2]).probs, untouched.step(frames[2]).probs
  )


def test_a_refused_step_is_not_the_frame_given_last(tiny, frames):
  """What is added afterwards belongs to the frame before it."""
  spoilt = vosjax.VideoSegmenter(*tiny, max_objects=2)
  untouched = vosjax.VideoSegmenter(*tiny, max_objects=2)
  for segmenter in (spoilt, untouched):
    segmenter.start(frames[0], ONE)
  with pytest.raises(ValueError, match=r"step\(\): 3 new objects .* but 1 of 2"):
    spoilt.step(frames[3], np.arange(2, 5).repeat(512).reshape(SIZE))
  for segmenter in (spoilt, untouched):
    segmenter.add(np.roll(2 * ONE, 20))
  np.testing.assert_array_equal(
    spoilt.step(frames[1]).probs, untouched.step(frames[1]).probs
  )


def test_calls_before_start_are_refused(tiny):
  segmenter = vosjax.VideoSegmenter(*tiny)
  with pytest.raises(ValueError, match=r"step\(\): call start\(\) with the first"):
    segmenter.step(RGB)
  with pytest.raises(ValueError, match=r"add\(\): call start\(\) with the first"):
    segmenter.add(ONE)
  with pytest.raises(ValueError, match="object 1 is not tracked"):
    segmenter.remove(1)


def test_max_objects_must_be_positive(tiny):
  with pytest.raises(ValueError, match="max_objects must be at least 1, not 0"):
    vosjax.VideoSegmenter(*tiny, max_objects=0)


def test_a_start_that_fails_leaves_the_last_video_as_it_was(tiny, monkeypatch):
  segmenter = vosjax.VideoSegmenter(*tiny)
  segmenter.start(RGB, ONE)

  def fail(*args):
    raise MemoryError

  with monkeypatch.context() as patch:
    patch.setattr(programs, "encode", fail)
    with pytest.raises(MemoryError):
      segmenter.start(RGB[:16], ONE[:16])
  assert segmenter.step(RGB).labels.shape == SIZE
