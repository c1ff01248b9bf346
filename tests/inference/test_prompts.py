"""Prompts at any frame, followed forwards, backwards and both ways."""

import numpy as np
import pytest

import vosjax
from vosjax.inference import both_ways
from vosjax.inference.frame_result import FrameResult
from vosjax.inference.prompts import GivenFrames, PlannedPrompt, plan
from vosjax.models.api import Readout


@pytest.fixture(params=["agame", "rvos"])
def segmenter(request, small, tiny):
  model = (
    tiny if request.param == "agame" else small("rvos", one_shot=True, num_objects=3)
  )
  return vosjax.VideoSegmenter(*model, max_objects=3)


def assert_equal(found, expected, atol=0.0):
  for ours, theirs in zip(found, expected, strict=True):
    assert ours.object_ids == theirs.object_ids
    np.testing.assert_array_equal(ours.frame, theirs.frame)
    np.testing.assert_array_equal(ours.labels, theirs.labels)
    np.testing.assert_allclose(ours.probs, theirs.probs, atol=atol)
    np.testing.assert_allclose(ours.scores, theirs.scores, atol=1e-6)


def parts(first):
  """Objects 1 and 2, object 3, and objects 1 and 3 elsewhere."""
  first = first.astype(np.int32)
  moved = np.roll(first, 2, axis=0)
  return (
    np.where(first < 3, first, 0),
    np.where(first == 3, 3, 0),
    np.where(moved == 2, 0, moved),
  )


def test_the_plan_says_what_each_prompt_does(first):
  early, late, moved = parts(first)
  prompts = {3: moved, 0: early, 2: late}
  forward = (
    PlannedPrompt(0, (1, 2), ()),
    PlannedPrompt(2, (3,), ()),
    PlannedPrompt(3, (), (1, 3)),
  )
  assert plan(prompts) == plan(prompts, "forward") == forward
  assert plan(prompts, "backward") == (
    PlannedPrompt(0, (2,), (1,)),
    PlannedPrompt(2, (), (3,)),
    PlannedPrompt(3, (1, 3), ()),
  )


def test_the_first_frame_as_a_prompt_equals_labels(segmenter, frames, first):
  assert_equal(
    segmenter.run(frames, prompts={0: first}), list(segmenter.run(frames, first))
  )


def test_forward_adds_and_corrects(segmenter, frames, first):
  early, late, moved = parts(first)
  prompts = {1: early, 2: late, 3: moved}
  found = list(segmenter.run(frames, prompts=prompts, direction="forward"))
  assert [r.object_ids for r in found] == [(), (1, 2), *[(1, 2, 3)] * 3]
  session = segmenter.new_session()
  session.start(frames[1], early)
  session.step(frames[2])
  session.add(late)
  expected = session.correct(late)
  np.testing.assert_array_equal(found[2].labels, expected.labels)
  session.step(frames[3])
  expected = [session.correct(moved), session.step(frames[4])]
  assert_equal(found[3:], expected, atol=2e-5)
  shown = moved > 0
  np.testing.assert_array_equal(found[3].labels[shown], moved[shown])


def test_backward_is_forward_in_a_mirror(segmenter, frames, first):
  early, late, moved = parts(first)
  prompts = {1: early, 2: late, 3: moved}
  found = list(segmenter.run(frames, prompts=prompts, direction="backward"))
  mirrored = {4 - t: labels for t, labels in prompts.items()}
  expected = segmenter.run(frames[::-1], prompts=mirrored, direction="forward")
  assert_equal(found, list(expected)[::-1], atol=1 / 255)


def test_both_ways_from_one_frame(segmenter, frames, first):
  prompts = {2: first}
  found = list(segmenter.run(frames, prompts=prompts))  # both by default
  backward = list(segmenter.run(frames, prompts=prompts, direction="backward"))
  forward = list(segmenter.run(frames, prompts=prompts, direction="forward"))
  assert_equal(found[:2], backward[:2])
  assert_equal(found[2:], forward[2:])
  assert found[0].labels.any() and found[4].labels.any()


def test_between_given_frames_the_passes_are_mixed(segmenter, frames, first):
  early, _, moved = parts(first)
  prompts = {0: early, 4: moved}
  found = list(segmenter.run(frames, prompts=prompts, direction="both"))
  forward = list(segmenter.run(frames, prompts=prompts, direction="forward"))
  backward = list(segmenter.run(frames, prompts=prompts, direction="backward"))
  for t in (1, 2, 3):
    assert found[t].object_ids == (1, 2, 3)
    share = np.float32(1 - t / 4)
    mixed = {
      1: share * forward[t].probs[0] + (1 - share) * backward[t].probs[0],
      2: forward[t].probs[1],  # given in frame 0 only
      3: backward[t].probs[1],  # given in frame 4 only
    }
    total = 1.0
    if segmenter._setup.readout.threshold is None:
      total = np.maximum(sum(mixed.values()), 1)
    for place, i in enumerate((1, 2, 3)):
      np.testing.assert_allclose(found[t].probs[place], mixed[i] / total, atol=1e-5)


def test_shares_fall_from_one_given_frame_to_the_next():
  given = GivenFrames((PlannedPrompt(2, (1,), ()), PlannedPrompt(6, (2,), (1,))))
  assert [given.forward_share(1, t) for t in (0, 2, 3, 5, 6, 9)] == [
    0,
    1,
    0.75,
    0.25,
    1,
    1,
  ]
  assert [given.forward_share(2, t) for t in (5, 6, 7)] == [0, 1, 1]


def test_mixed_objects_compete_as_those_of_the_model_do():
  frame = np.zeros((1, 4, 3), np.uint8)
  one = np.array([[[0.9, 0.7, 0.2, 0.4]]], np.float32)
  two = np.array([[[0.2, 0.8, 0.2, 0.45]]], np.float32)
  forward = FrameResult(frame, np.zeros((1, 4), np.int32), (1,), one[None], (0,))
  backward = both_ways.KeptResult((2,), np.zeros((1, 4), np.int32), two, np.ones(1))
  shares = {1: 1.0, 2: 0.0}
  competing = both_ways.join(Readout(True), forward, backward, shares)
  np.testing.assert_array_equal(competing.labels, [[1, 2, 0, 2]])
  np.testing.assert_allclose(competing.probs[:, 0, 1], [0.7 / 1.5, 0.8 / 1.5])
  free = both_ways.join(Readout(True, threshold=0.5), forward, backward, shares)
  np.testing.assert_array_equal(free.labels, [[1, 2, 0, 0]])
  np.testing.assert_array_equal(free.probs, np.concatenate([one, two]))


def test_frames_are_read_backwards_in_chunks(frames, monkeypatch):
  monkeypatch.setattr(both_ways, "_CHUNK", 2)
  read = []

  class Video:
    def __len__(self):
      return len(frames)

    def __getitem__(self, index):
      read.append(index)
      return frames[index]

  backwards = both_ways.Backwards(Video(), 4)
  for index in range(5):
    np.testing.assert_array_equal(backwards[index], frames[4 - index])
  assert read == [4, 2, 3, 0, 1]


def test_many_kept_results_go_to_a_file(tiny, frames, first, monkeypatch):
  segmenter = vosjax.VideoSegmenter(*tiny, max_objects=3)
  expected = list(segmenter.run(frames, prompts={4: first}))
  monkeypatch.setattr(both_ways, "_IN_MEMORY", 100)
  assert_equal(segmenter.run(frames, prompts={4: first}), expected)


@pytest.mark.parametrize(
  ("prompts", "options", "message"),
  [
    ({}, {}, "prompts are empty"),
    ({9: 1}, {}, r"prompts\[9\]: the video has frames 0 to 4 only"),
    ({"a": 1}, {}, "prompts has the key 'a'"),
    ({2: 0}, {}, r"prompts\[2\]: labels contain no object"),
    ({2: 1}, {"direction": "up"}, "direction is 'up'; known"),
    ({2: 1}, {"labels": 1}, "labels and prompts are both given"),
    (None, {"labels": 1, "direction": "both"}, "direction is 'both', which needs"),
  ],
)
def test_prompts_that_are_refused(tiny, frames, first, prompts, options, message):
  def full(value):
    return np.full(first.shape, value)

  if prompts is not None:
    prompts = {t: full(value) for t, value in prompts.items()}
  if "labels" in options:
    options = options | {"labels": full(1)}
  segmenter = vosjax.VideoSegmenter(*tiny)
  with pytest.raises(ValueError, match=rf"run\(\): {message}"):
    segmenter.run(frames, prompts=prompts, **options)


def test_prompts_of_unequal_size_are_refused(tiny, frames, first):
  with pytest.raises(ValueError, match=r"prompts\[3\]: labels are \[16, 48\], but"):
    vosjax.VideoSegmenter(*tiny).run(frames, prompts={1: first, 3: first[:16]})
