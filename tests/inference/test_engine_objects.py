"""Objects that come and go in the streaming engine, and what is compiled for them."""

import jax
import numpy as np

import vosjax
from vosjax.inference import programs
from vosjax.inference.session import CheckedFrame


def play(segmenter, frames, labels):
  """The results of all frames after the first."""
  segmenter.start(frames[0], labels)
  return [segmenter.step(frame) for frame in frames[1:]]


def assert_close(actual, expected):
  np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=2e-5)


def mark(value, at):
  """Labels of one small new object."""
  labels = np.zeros((32, 48), np.int64)
  labels[at : at + 8, at : at + 8] = value
  return labels


def test_nothing_compiles_while_slots_are_free(
  tiny, frames, first, traces, compilations
):
  model, variables = tiny
  model = model.clone(update_rate=0.123)  # no other test has compiled this one
  segmenter = vosjax.VideoSegmenter(model, variables, max_objects=5)
  segmenter.start(frames[0], first)
  segmenter.step(frames[1])
  segmenter.add(mark(9, 3))
  # A state is begun from nothing, and joined with another one. The first frame is
  # encoded by itself, and others by the program that segments them.
  once = {"encode": 2, "init_state": 2, "segment": 1, "update": 1}
  assert traces == once
  compiled = len(compilations)
  assert compiled > 0  # otherwise the listener hears nothing
  for round_ in range(3):
    segmenter.remove(9 + round_)
    segmenter.step(frames[2])
    segmenter.step(frames[3], mark(40 + round_, 10))
    segmenter.add(mark(10 + round_, 5))
    segmenter.step(frames[4])
    segmenter.remove(40 + round_)
  for object_id in segmenter.object_ids:
    segmenter.remove(object_id)
  segmenter.step(frames[0])
  segmenter.start(frames[0], first == 1)
  segmenter.step(frames[1])
  other = vosjax.VideoSegmenter(model, variables, max_objects=5)
  for session in (segmenter.new_session(), other):
    session.start(frames[0], first)
    session.step(frames[1])
  assert traces == once
  assert len(compilations) == compiled
  # Each further frame size compiles once.
  for h in (20, 32, 20):
    segmenter.start(frames[0, :h], first[:h])
    segmenter.step(frames[1, :h])
  assert traces == {"encode": 4, "init_state": 3, "segment": 2, "update": 2}


def test_growth_changes_no_result(tiny, frames, first):
  """Slots that are added when objects come, or that exist from the start."""
  begun, late = np.where(first == 2, 2, 0), np.where(first == 2, 0, first)
  results = []
  for max_objects in (None, 3):
    segmenter = vosjax.VideoSegmenter(*tiny, max_objects=max_objects)
    segmenter.start(frames[0], begun)
    results.append(
      [
        segmenter.step(frames[1]),
        segmenter.step(frames[2], late),
        segmenter.step(frames[3]),
      ]
    )
  for grown, fixed in zip(*results):
    assert grown.object_ids == fixed.object_ids
    assert_close(grown.probs, fixed.probs)
    assert (grown.labels == fixed.labels).mean() > 0.999
  assert results[0][-1].object_ids == (2, 1, 3)


def test_added_slots_are_finite_without_an_object(tiny, frames, first, apply):
  session = vosjax.VideoSegmenter(*tiny).new_session()
  session.start(frames[0], np.where(first == 2, 2, 0))
  model, variables = session.setup.model, session.setup.variables
  state = programs.add_slots(model, session.state, 2)
  active = np.array([[True, False, False]])
  segmented = apply(model, "segment", variables, state, session.features, active)
  assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(segmented))
  assert segmented[1].logits.shape[1] == 3


def test_the_number_of_slots_doubles(tiny, frames, monkeypatch):
  """So that objects which come one by one compile little."""
  monkeypatch.setattr(programs, "init_slots", lambda *args: "state")
  monkeypatch.setattr(programs, "add_slots", lambda model, state, extra: state)
  session, capacities = vosjax.VideoSegmenter(*tiny).new_session(), []
  session.segment_first(CheckedFrame(frames[0], features=()), mark(1, 0))
  for object_id in range(2, 7):
    session.add(mark(object_id, object_id))
    capacities.append(session.slots.capacity)
  assert capacities == [2, 4, 4, 8, 8]


def test_a_freed_slot_forgets_its_object(tiny, frames, first):
  used = vosjax.VideoSegmenter(*tiny, max_objects=3)
  play(used, frames[:3], first)
  for object_id in (1, 2, 3):
    used.remove(object_id)
  empty = used.step(frames[2])
  assert empty.object_ids == ()
  assert empty.probs.shape == (0, *first.shape)
  assert not empty.labels.any()
  used.add(np.where(first == 2, 8, 0))
  fresh = vosjax.VideoSegmenter(*tiny, max_objects=3)
  fresh.start(frames[2], np.where(first == 2, 8, 0))
  for frame in frames[3:]:
    result, expected = used.step(frame), fresh.step(frame)
    assert result.object_ids == (8,)
    np.testing.assert_array_equal(result.probs, expected.probs)
    np.testing.assert_array_equal(result.labels, expected.labels)


def test_removal_does_not_affect_other_objects(tiny, frames, first):
  """With "fine", the others are as if the removed object had never existed."""
  options = {"max_objects": 3, "recurrence": "fine"}
  segmenter = vosjax.VideoSegmenter(*tiny, **options)
  play(segmenter, frames[:3], first)
  segmenter.remove(1)
  alone = vosjax.VideoSegmenter(*tiny, **options)
  play(alone, frames[:3], np.where(first == 1, 0, first))
  for frame in frames[3:]:
    result, expected = segmenter.step(frame), alone.step(frame)
    assert result.object_ids == expected.object_ids == (2, 3)
    assert_close(result.probs, expected.probs)
    assert 1 not in result.labels


def test_an_added_object_begins_in_the_latest_frame(tiny, frames, first):
  added = vosjax.VideoSegmenter(*tiny, max_objects=3)
  added.start(frames[0], np.where(first == 1, 1, 0))
  added.add(np.where(first == 1, 0, first))
  together = vosjax.VideoSegmenter(*tiny, max_objects=3)
  together.start(frames[0], first)
  for frame in frames[1:]:
    np.testing.assert_array_equal(added.step(frame).probs, together.step(frame).probs)
