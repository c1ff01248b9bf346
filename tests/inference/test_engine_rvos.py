"""One-shot RVOS through the engine, which feeds and paints like the official code."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vosjax
from vosjax.inference import programs
from vosjax.inference.painting import Ranking


@pytest.fixture(scope="module")
def rvos(small):
  return small("rvos", one_shot=True, num_objects=3)


def split(labels, slots=3):
  """Masks [1 o h w] of objects 1, 2, .. in labels."""
  return (labels == np.arange(1, slots + 1)[:, None, None]).astype(np.float32)[None]


def parts(first):
  """The objects of the first frame, and one that appears later."""
  first = first.astype(np.int32)
  return np.where(first < 3, first, 0), np.where(first == 3, first, 0)


@pytest.fixture(scope="module")
def by_hand(rvos, frames, apply):
  """Probabilities [t o h w]; `late` has masks and slots of late objects, by frame."""
  model, variables = rvos
  active = jnp.ones((1, 3), bool)

  def run(masks, late):
    probs = []
    for t, frame in enumerate(frames):
      features = apply(model, "encode", variables, frame[None] / np.float32(255))
      state = state if t else apply(model, "begin", variables, features, masks)
      if t in late:
        state = apply(model, "insert", variables, state, *late[t])
      state, prediction = apply(model, "segment", variables, state, features, active)
      probs.append(jax.nn.sigmoid(prediction.logits))
      # The second frame sees the annotation of the first one again.
      seen = probs[-1] if t else masks
      state = apply(model, "update", variables, state, features, seen)
    return np.concatenate(probs)

  return run


def test_late_objects_inherit_what_their_slot_has_gathered(
  rvos, by_hand, frames, first
):
  begun, late = parts(first)
  new = np.array([[False, False, True]])
  expected = by_hand(split(begun), {2: (split(late), new)})
  segmenter = vosjax.VideoSegmenter(*rvos)
  started = segmenter.start(frames[0], begun)
  np.testing.assert_array_equal(started.labels, begun)
  np.testing.assert_array_equal(started.probs, split(begun)[0, :2])
  for t in range(1, len(frames)):
    result = segmenter.step(frames[t], late if t == 2 else None)
    count = 2 if t < 2 else 3
    assert result.object_ids == (1, 2, 3)[:count]
    np.testing.assert_allclose(result.probs, expected[t, :count], atol=2e-4)
    if t == 2:  # the new object's annotation is painted last
      np.testing.assert_array_equal(result.labels[first == 3], 3)


def test_ids_with_gaps_leave_their_slots_empty(rvos, by_hand, frames, first):
  """Object k is decoded in slot k - 1, after all slots before it."""
  begun = np.where(first == 2, 0, first).astype(np.int32)
  late = np.where(first == 2, 2, 0).astype(np.int32)
  new = np.array([[False, True, False]])
  expected = by_hand(split(begun), {2: (split(late), new)})
  segmenter = vosjax.VideoSegmenter(*rvos)
  segmenter.start(frames[0], begun)
  for t in range(1, len(frames)):
    result = segmenter.step(frames[t], late if t == 2 else None)
    ids = (1, 3) if t < 2 else (1, 2, 3)
    assert result.object_ids == ids
    slots = [i - 1 for i in ids]
    np.testing.assert_allclose(result.probs, expected[t, slots], atol=2e-4)
  adjacent = by_hand(split(np.where(begun == 3, 2, begun)), {})
  assert np.abs(adjacent[1, 1] - expected[1, 2]).max() > 1e-2  # the slot matters


def test_overlaps_go_to_older_objects_and_to_better_first_frames(
  rvos, by_hand, frames, first
):
  begun, late = parts(first)
  new = np.array([[False, False, True]])
  probs = by_hand(split(begun), {2: (split(late), new)})
  ranking = Ranking()
  ranking.add({i: probs[0, i - 1] > 0.5 for i in (1, 2)}, begun)
  ranking.add({3: probs[2, 2] > 0.5}, late)
  rank = ranking.rank_slots({1: 0, 2: 1, 3: 2}, 3)[0]
  assert rank[2] == 0
  assert rank[:2].tolist() in ([1, 2], [2, 1])
  segmenter = vosjax.VideoSegmenter(*rvos)
  segmenter.start(frames[0], begun)
  segmenter.step(frames[1])
  segmenter.step(frames[2], late)
  for t in (3, 4):
    labels = segmenter.step(frames[t]).labels
    masks = probs[t, :3] > 0.5
    expected = np.zeros_like(labels)
    for slot in np.argsort(rank):
      expected[masks[slot]] = slot + 1
    clear = (np.abs(probs[t, :3] - 0.5) > 1e-3).all(0)
    np.testing.assert_array_equal(labels[clear], expected[clear])
    assert (masks.sum(0) > 1).any()  # there are overlaps


def test_an_object_without_a_free_slot_adds_one(small, frames, first):
  """The new slot has gathered nothing, and the old one is not affected."""
  first = first.astype(np.int32)
  one, two = np.where(first == 1, 1, 0), np.where(first == 2, 2, 0)
  rvos = small("rvos", one_shot=True, num_objects=1)
  segmenter = vosjax.VideoSegmenter(*rvos)
  plain = segmenter.new_session()
  for session in (segmenter, plain):
    session.start(frames[0], one)
    session.step(frames[1])
  grown = segmenter.step(frames[2], two)
  assert grown.object_ids == (1, 2)
  assert np.isfinite(grown.probs).all()
  np.testing.assert_allclose(grown.probs[:1], plain.step(frames[2]).probs, atol=1e-5)
  limited = vosjax.VideoSegmenter(*rvos, max_objects=1)
  limited.start(frames[0], one)
  with pytest.raises(ValueError, match=r"step\(\): .* 0 of 1 slots are free"):
    limited.step(frames[1], two)


def test_an_added_slot_has_gathered_nothing(rvos, frames, first):
  session = vosjax.VideoSegmenter(*rvos).new_session()
  session.start(frames[0], first)
  grown = programs.add_slots(session.setup.model, session.state, 2)
  leaves = jax.tree.leaves(session.state), jax.tree.leaves(grown)
  for old, new in zip(*leaves, strict=True):
    np.testing.assert_array_equal(new[:, :3], old)
    assert new.shape[1] == 5 and not new[:, 3:].any()


def test_start_forgets_what_the_slots_have_gathered(rvos, frames, first):
  used = vosjax.VideoSegmenter(*rvos)
  fresh = used.new_session()
  used.start(frames[0], first)
  used.step(frames[1])
  for session in (used, fresh):
    session.start(frames[2], np.where(first == 2, first, 0))
  np.testing.assert_array_equal(used.step(frames[3]).probs, fresh.step(frames[3]).probs)


def test_the_next_frame_sees_the_mask_of_an_added_object(rvos, frames, first):
  begun, late = parts(first)
  added, stepped = vosjax.VideoSegmenter(*rvos), vosjax.VideoSegmenter(*rvos)
  for segmenter in (added, stepped):
    segmenter.start(frames[0], begun)
  added.add(late)
  result, expected = added.step(frames[1]), stepped.step(frames[1], late)
  np.testing.assert_allclose(result.probs, expected.probs, atol=1e-5)


def test_age_decides_overlaps_however_objects_are_given(
  rvos, frames, first, monkeypatch
):
  ranks, step = [], programs.step

  def watch(*args):
    ranks.append(args[-1][0, :3].tolist())
    return step(*args)

  monkeypatch.setattr(programs, "step", watch)
  one, two, three = (np.where(first == i, i, 0).astype(np.int32) for i in (1, 2, 3))
  segmenter = vosjax.VideoSegmenter(*rvos)
  segmenter.start(frames[0], one)
  segmenter.add(two)
  segmenter.step(frames[1], three)
  segmenter.step(frames[2])
  assert ranks[-1] == [2, 1, 0]
  segmenter.remove(1)
  segmenter.add(one)  # the same id again, in the same slot
  segmenter.step(frames[3])
  assert ranks[-1] == [0, 2, 1]


def test_the_first_result_has_the_given_masks_whatever_their_slots(rvos, frames, first):
  """Object 3 is in slot 2, and slot 1 is free."""
  labels = np.where(first == 1, 3, np.where(first == 3, 1, 0)).astype(np.int32)
  labels[0] = 255
  result = vosjax.VideoSegmenter(*rvos).start(frames[0], labels)
  assert (result.object_ids, result.slots) == ((1, 3), (0, 2))
  np.testing.assert_array_equal(result.probs, [first == 3, first == 1])
  np.testing.assert_array_equal(result.labels, np.where(labels == 255, 0, labels))
