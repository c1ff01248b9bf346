"""One-shot RVOS through the engine, as the official program feeds and paints it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vosjax
from vosjax.inference import programs
from vosjax.inference.painting import Ranking


@pytest.fixture(scope="module")
def rvos(small):
  return small("rvos", one_shot=True)


def split(labels, slots=4):
  return (labels == np.arange(1, slots + 1)[:, None, None]).astype(np.float32)[None]


def parts(first):
  """Objects of the first frame, and one that comes later."""
  first = first.astype(np.int32)
  return np.where(first < 3, first, 0), np.where(first == 3, first, 0)


@pytest.fixture(scope="module")
def by_hand(rvos, frames):
  """Probabilities [t o h w]; `late` gives masks and slots of objects by frame."""
  model, variables = rvos

  def method(name):
    return jax.jit(lambda *args: model.apply(variables, *args, method=name))

  encode, begin, insert, segment, update = map(
    method, ("encode", "begin", "insert", "segment", "update")
  )
  active = jnp.ones((1, 4), bool)

  def run(masks, late):
    probs = []
    for t, frame in enumerate(frames):
      features = encode(frame[None] / np.float32(255))
      state = state if t else begin(features, masks)
      if t in late:
        state = insert(state, *late[t])
      state, prediction = segment(state, features, active)
      probs.append(jax.nn.sigmoid(prediction.logits))
      # The frame after the first one sees the annotation again.
      state = update(state, features, probs[-1] if t else masks)
    return np.concatenate(probs)

  return run


def test_late_objects_take_over_what_their_slot_has_gathered(
  rvos, by_hand, frames, first
):
  begun, late = parts(first)
  new = np.array([[False, False, True, False]])
  expected = by_hand(split(begun), {2: (split(late), new)})
  segmenter = vosjax.VideoSegmenter(*rvos)
  given = segmenter.start(frames[0], begun)
  np.testing.assert_array_equal(given.labels, begun)
  np.testing.assert_array_equal(given.probs, split(begun)[0, :2])
  for t in range(1, len(frames)):
    result = segmenter.step(frames[t], late if t == 2 else None)
    count = 2 if t < 2 else 3
    assert result.object_ids == (1, 2, 3)[:count]
    np.testing.assert_allclose(result.probs, expected[t, :count], atol=2e-4)
    if t == 2:  # the new object's annotation lies on top
      np.testing.assert_array_equal(result.labels[first == 3], 3)


def test_ids_with_gaps_leave_their_slots_empty(rvos, by_hand, frames, first):
  """Object k is decoded in slot k - 1, after whatever is in those before it."""
  begun = np.where(first == 2, 0, first).astype(np.int32)
  late = np.where(first == 2, 2, 0).astype(np.int32)
  new = np.array([[False, True, False, False]])
  expected = by_hand(split(begun), {2: (split(late), new)})
  segmenter = vosjax.VideoSegmenter(*rvos)
  segmenter.start(frames[0], begun)
  for t in range(1, len(frames)):
    result = segmenter.step(frames[t], late if t == 2 else None)
    ids = (1, 3) if t < 2 else (1, 2, 3)
    assert result.object_ids == ids
    slots = [i - 1 for i in ids]
    np.testing.assert_allclose(result.probs, expected[t, slots], atol=2e-4)
  beside = by_hand(split(np.where(begun == 3, 2, begun)), {})
  assert np.abs(beside[1, 1] - expected[1, 2]).max() > 1e-2  # it makes a difference


def test_overlaps_go_to_older_objects_and_to_better_first_frames(
  rvos, by_hand, frames, first
):
  begun, late = parts(first)
  new = np.array([[False, False, True, False]])
  probs = by_hand(split(begun), {2: (split(late), new)})
  ranking = Ranking()
  ranking.add({i: probs[0, i - 1] > 0.5 for i in (1, 2)}, begun)
  ranking.add({3: probs[2, 2] > 0.5}, late)
  rank = ranking.of({1: 0, 2: 1, 3: 2}, 3)[0]
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
    sure = (np.abs(probs[t, :3] - 0.5) > 1e-3).all(0)
    np.testing.assert_array_equal(labels[sure], expected[sure])
    assert (masks.sum(0) > 1).any()  # there was something to decide


def test_an_object_without_a_free_slot_makes_more(rvos, frames, first):
  """Five of four: new slots have gathered nothing, old ones do not notice."""
  five = np.zeros(first.shape, np.int32)
  for i in range(5):
    five[4:28, 1 + 9 * i : 9 + 9 * i] = i + 1
  begun = np.where(five < 5, five, 0)
  segmenter, plain = vosjax.VideoSegmenter(*rvos), vosjax.VideoSegmenter(*rvos)
  for each in (segmenter, plain):
    each.start(frames[0], begun)
    each.step(frames[1])
  grown = segmenter.step(frames[2], np.where(five == 5, 5, 0))
  assert grown.object_ids == (1, 2, 3, 4, 5)
  assert np.isfinite(grown.probs).all()
  np.testing.assert_allclose(grown.probs[:4], plain.step(frames[2]).probs, atol=1e-5)
  limited = vosjax.VideoSegmenter(*rvos, max_objects=4)
  limited.start(frames[0], begun)
  with pytest.raises(ValueError, match="0 of 4 slots are free"):
    limited.step(frames[1], np.where(five == 5, 5, 0))


def test_add_gives_the_mask_that_the_next_frame_sees(rvos, frames, first):
  begun, late = parts(first)
  added, stepped = vosjax.VideoSegmenter(*rvos), vosjax.VideoSegmenter(*rvos)
  for each in (added, stepped):
    each.start(frames[0], begun)
  added.add(late)
  result, expected = added.step(frames[1]), stepped.step(frames[1], late)
  np.testing.assert_allclose(result.probs, expected.probs, atol=1e-5)


def test_age_decides_overlaps_however_objects_arrive(rvos, frames, first, monkeypatch):
  ranks, advance = [], programs.advance

  def watch(*args):
    ranks.append(args[7][0, :3].tolist())
    return advance(*args)

  monkeypatch.setattr(programs, "advance", watch)
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
  """Object 4 sits in slot 3, and no object in slots 1 and 2."""
  labels = np.where(first == 1, 4, np.where(first == 3, 1, 0)).astype(np.int32)
  labels[0] = 255
  result = vosjax.VideoSegmenter(*rvos).start(frames[0], labels)
  assert (result.object_ids, result.slots) == ((1, 4), (0, 3))
  np.testing.assert_array_equal(result.probs, [first == 3, first == 1])
  np.testing.assert_array_equal(result.labels, np.where(labels == 255, 0, labels))
