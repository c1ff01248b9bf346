"""Objects that are put right while a video is in progress."""

import jax
import numpy as np
import pytest

import vosjax


def mark(value, at):
  """Labels of one small object."""
  labels = np.zeros((32, 48), np.int64)
  labels[at : at + 8, at : at + 8] = value
  return labels


@pytest.fixture(params=["agame", "rvos"])
def one_shot(request, small, tiny):
  if request.param == "agame":
    return tiny
  return small("rvos", one_shot=True, num_objects=3)


@pytest.fixture
def session(one_shot, frames, first):
  session = vosjax.VideoSegmenter(*one_shot, max_objects=3).new_session()
  session.start(frames[0], first)
  session.step(frames[1])
  return session


def test_the_result_shows_what_is_given_and_leaves_the_rest(session, frames, first):
  before = session.step(frames[2])
  labels = np.zeros_like(first)
  labels[2:12, 10:30] = 2
  corrected = session.correct(labels)
  assert corrected.object_ids == before.object_ids == (1, 2, 3)
  np.testing.assert_array_equal(corrected.labels == 2, labels == 2)
  np.testing.assert_array_equal(corrected.probs[1], labels == 2)
  for place, i in ((0, 1), (2, 3)):
    stays = (before.labels == i) & (labels != 2)
    np.testing.assert_array_equal(corrected.labels == i, stays)
    expected = np.where(labels == 2, 0, before.probs[place])
    np.testing.assert_array_equal(corrected.probs[place], expected)
  assert corrected.scores[1] == 1 and not corrected.lost[1]
  np.testing.assert_array_equal(corrected.frame, frames[2])
  # A second correction begins with the first one.
  again = session.correct(absent=[3])
  np.testing.assert_array_equal(
    again.labels, np.where(corrected.labels == 3, 0, corrected.labels)
  )
  assert again.object_ids == (1, 2, 3)  # it is hidden, and tracked


def test_void_leaves_what_was_segmented(session, frames, first):
  before = session.step(frames[2])
  labels = np.full_like(first, 255)
  labels[0] = 2
  labels[1] = 0
  result = session.correct(labels)
  expected = before.labels.copy()
  expected[:2][expected[:2] == 2] = 0
  expected[0] = 2
  np.testing.assert_array_equal(result.labels, expected)


def test_tracking_goes_on_from_the_correction(one_shot, frames, first):
  """As if the video had begun there, if all objects are corrected."""
  segmenter = vosjax.VideoSegmenter(*one_shot, max_objects=3)
  wrong, right, other = (segmenter.new_session() for _ in range(3))
  moved = np.roll(first, 5, axis=0)
  for session in (wrong, right, other):
    session.start(frames[0], first)
    session.step(frames[1])
  right.correct(moved)
  right.correct(moved)  # twice is as good as once
  other.correct(moved)
  results = [session.step(frames[2]) for session in (wrong, right, other)]
  np.testing.assert_array_equal(results[1].probs, results[2].probs)
  assert np.abs(results[0].probs - results[1].probs).max() > 1e-3
  if one_shot[0].readout.threshold is None:
    begun = segmenter.new_session()
    begun.start(frames[1], moved)
    expected = begun.step(frames[2])
    np.testing.assert_allclose(results[1].probs, expected.probs, atol=1e-5)


def test_other_objects_are_followed_as_before(tiny, frames, first):
  """With "fine", where objects do not compete in the state, unless pixels are taken."""
  segmenter = vosjax.VideoSegmenter(*tiny, max_objects=3, recurrence="fine")
  plain, corrected = segmenter.new_session(), segmenter.new_session()
  for session in (plain, corrected):
    session.start(frames[0], first)
    result = session.step(frames[1])
  elsewhere = np.zeros_like(first)
  elsewhere[:4] = 2
  corrected.correct(np.where(result.labels == 0, elsewhere, 0))
  state, expected = corrected.state, plain.state
  for i in (0, 2):
    for ours, theirs in zip(jax.tree.leaves(state), jax.tree.leaves(expected)):
      assert (ours[:, i] <= theirs[:, i]).all() or ours.ndim == 4  # masks lose pixels
    np.testing.assert_array_equal(
      state.propagation.first[:, i], expected.propagation.first[:, i]
    )


def test_the_matching_cue_forgets_wrong_masks(small, frames, first):
  model, variables = small(
    "agame", output_stride=8, deep="pyramid", matching_lags=(1, 2)
  )
  session = vosjax.VideoSegmenter(model, variables, max_objects=3).new_session()
  session.start(frames[0], first)
  for frame in frames[1:3]:
    session.step(frame)
  moved = np.where(first == 2, 2, 0)
  session.correct(np.roll(moved, 3, axis=0))
  state = session.state.matching
  assert state.known[0].sum(-1).tolist() == [2, 1, 2]
  newest = int((state.latest.value.count[0] - 1) % 2)
  assert state.known[0, 1, newest]
  keys = state.latest.value.keys[0, newest]
  # Its first frame shares the memory with the corrected one; those of others do not.
  ours = (np.asarray(state.first_keys[0]) == np.asarray(keys)).all(-1).mean((1, 2))
  assert 0.2 < ours[1] < 0.8
  assert ours[[0, 2]].tolist() == [0, 0]
  before = np.asarray(state.first_masks)
  session.correct(np.roll(moved, 6, axis=0))  # what it was told before is replaced
  again = session.state.matching
  ours = (np.asarray(again.first_keys[0, 1]) == np.asarray(keys)).all(-1)
  given = np.asarray(again.masks[0, 1, newest])
  np.testing.assert_array_equal(np.asarray(again.first_masks[0, 1])[ours], given[ours])
  assert (np.asarray(again.first_masks[0, 1]) != before[0, 1]).any()
  session.correct(absent=[2])
  state = session.state.matching
  assert not state.masks[0, 1, newest].any()
  assert not np.asarray(state.first_masks[0, 1])[ours].any()
  assert np.asarray(state.first_masks[0, 1])[~ours].any()  # how it looked before


def test_nothing_compiles_beyond_what_add_compiles(
  tiny,
  frames,
  first,
  traces,
  compilations,
):
  model, variables = tiny
  model = model.clone(update_rate=0.234)  # no other test has compiled this one
  segmenter = vosjax.VideoSegmenter(model, variables, max_objects=4)
  segmenter.start(frames[0], first)
  segmenter.step(frames[1])
  segmenter.add(mark(9, 3))
  compiled, traced = len(compilations), dict(traces)
  for frame in frames[2:4]:
    segmenter.step(frame)
    segmenter.correct(np.roll(first, 2, axis=0))
    segmenter.correct(mark(9, 7), absent=[1])
  assert traces == traced
  assert len(compilations) == compiled


@pytest.mark.parametrize(
  ("labels", "absent", "message"),
  [
    (4, (), r"objects \[4\] are not tracked \(tracking \[1, 2, 3\]\). Use add\(\)"),
    (0, (), r"labels contain no object .* absent=\[id"),
    (1, (1, 2), r"objects \[1\] are in the labels and in absent"),
    (0, (7,), r"objects \[7\] are not tracked"),
  ],
)
def test_corrections_that_are_refused(session, frames, labels, absent, message):
  plain = session.result
  with pytest.raises(ValueError, match=rf"correct\(\): {message}"):
    session.correct(np.full(plain.labels.shape, labels), absent=absent)
  assert session.result is plain


def test_who_cannot_be_corrected(small, tiny, frames, first):
  with pytest.raises(ValueError, match=r"correct\(\): no video is in progress"):
    vosjax.VideoSegmenter(*tiny).correct(first)
  segmenter = vosjax.VideoSegmenter(*small("rvos"))
  segmenter.start(frames[0])
  with pytest.raises(ValueError, match=r"correct\(\): this model is zero-shot"):
    segmenter.correct(first)


def test_an_added_object_can_be_corrected_in_its_frame(session, frames, first):
  session.remove(3)
  session.step(frames[2])
  session.add(mark(9, 3))
  result = session.correct(mark(9, 20))
  assert result.object_ids == (1, 2, 9)
  np.testing.assert_array_equal(result.labels == 9, mark(9, 20) == 9)
