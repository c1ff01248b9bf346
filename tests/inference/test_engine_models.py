"""Every zero-shot model through the engine, against its own methods called in turn."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vosjax
from vosjax.inference import checks

ZERO_SHOT = ("cosnet", "ris", "rsis", "rvos")


def play(segmenter, frames, labels=None):
  return [segmenter.start(frames[0], labels), *map(segmenter.step, frames[1:])]


@pytest.fixture
def by_hand(apply):
  """Probabilities [t o h w] and scores of a zero-shot model, unfolded."""

  def run(model, variables, frames):
    encoded = [
      apply(model, "encode", variables, frame[None] / np.float32(255))
      for frame in frames
    ]
    state = apply(model, "init_state", variables, encoded[0], None)
    active = jnp.ones((1, model.readout.num_slots), bool)
    probs, scores = [], []
    for features in encoded:
      state, prediction = apply(model, "segment", variables, state, features, active)
      probs.append(np.asarray(jax.nn.sigmoid(prediction.logits[0])))
      scores.append(prediction.aux)
    return np.stack(probs), scores

  return run


def first_of(masks):
  """The label map in which the first of overlapping masks wins."""
  return np.where(masks.any(0), masks.argmax(0) + 1, 0)


def assert_labels(found, expected, probs, threshold):
  """Equal, except for pixels so close to the threshold that rounding decides."""
  clear = (np.abs(probs - threshold) > 1e-4).all(0)
  np.testing.assert_array_equal(found[clear], expected[clear])
  assert clear.mean() > 0.9
  assert len(np.unique(found)) > 1  # otherwise the labels would test nothing


def test_rvos_paints_earlier_proposals_over_later_ones(small, frames, by_hand):
  model, variables = small("rvos")
  probs, _ = by_hand(model, variables, frames)
  for result, p in zip(play(vosjax.VideoSegmenter(model, variables), frames), probs):
    assert result.object_ids == (1, 2)
    np.testing.assert_allclose(result.probs, p, atol=1e-4)
    assert_labels(result.labels, first_of(p > 0.5), p, 0.5)


def test_a_limit_keeps_the_first_proposals(small, frames):
  model, variables = small("rvos")
  every = vosjax.VideoSegmenter(model, variables).start(frames[0])
  few = vosjax.VideoSegmenter(model, variables, max_objects=1).start(frames[0])
  assert few.object_ids == (1,)
  np.testing.assert_array_equal(few.probs, every.probs[:1])
  np.testing.assert_array_equal(few.labels, first_of(every.probs[:1] > 0.5))


def test_a_removed_proposal_stays_away(small, frames):
  segmenter = vosjax.VideoSegmenter(*small("rvos"))
  segmenter.start(frames[0])
  segmenter.remove(1)
  result = segmenter.step(frames[1])
  assert result.object_ids == (2,)
  assert 1 not in result.labels
  assert segmenter.start(frames[0]).object_ids == (1, 2)


def test_cosnet_returns_its_own_probability(small, frames, by_hand):
  """Its object does not compete with a background."""
  model, variables = small("cosnet")
  segmenter = vosjax.VideoSegmenter(model, variables)
  expected, _ = by_hand(model, variables, frames[:1])
  result = segmenter.start(frames[0])
  assert result.object_ids == (1,)
  np.testing.assert_allclose(result.probs, expected[0], atol=1e-4)
  assert_labels(result.labels, (result.probs[0] > 0.5) * 1, result.probs, 0.5)


@pytest.mark.parametrize(("name", "threshold"), [("rsis", 0.5), ("ris", 0.9)])
def test_scores_end_the_list_of_objects_without_compiling(
  name, threshold, small, frames, monkeypatch, by_hand
):
  """The bias of the score makes the number of objects differ from frame to frame."""
  model, variables = small(name)
  head = "stop" if name == "rsis" else "score_head"
  score = f"{'stop' if name == 'rsis' else 'score'}_logits"
  variables = jax.tree.map(np.array, variables)
  _, aux = by_hand(model, variables, frames)
  bias = variables["params"][head]["bias"]
  first = [a[score][0, 0] for a in aux]
  bias -= np.float32(np.quantile(first, 0.6, method="midpoint"))
  if name == "ris":  # the softmax over all pixels makes masks faint
    variables["params"]["inhibition"]["bias"] = np.float32(11)
  traces = []
  segment = type(model).segment
  monkeypatch.setattr(
    type(model), "segment", lambda *args: traces.append(1) or segment(*args)
  )
  segmenter = vosjax.VideoSegmenter(model, variables)
  probs, aux = by_hand(model, variables, frames)
  traces.clear()
  counts, painted = set(), 0
  for result, p, a in zip(play(segmenter, frames), probs, aux):
    kept = np.cumprod(np.asarray(a[score][0]) >= 0) > 0
    counts.add(kept.sum())
    masks = (p > threshold) & kept[:, None, None]
    ids = 1 + np.flatnonzero(kept & (masks.mean((1, 2)) >= model.readout.min_share))
    assert result.object_ids == tuple(ids)
    assert result.probs.shape == (len(ids), *frames.shape[1:3])
    clear = (np.abs(p - threshold) > 1e-4).all(0)
    np.testing.assert_array_equal(result.labels[clear], first_of(masks)[clear])
    painted += np.count_nonzero(result.labels)
  assert painted
  assert len(counts) > 1
  assert len(traces) == 1


def test_frames_are_resized_for_the_network_and_masks_are_resized_back(small, frames):
  model, variables = small("ris", size=(32, 48))
  small_frames = frames[:2, :20, :30]  # the network sees 32x48
  results = play(vosjax.VideoSegmenter(model, variables), small_frames)
  framing = model.framing((20, 30))
  enlarged = np.asarray(framing.frames(small_frames / np.float32(255)))
  enlarged = (enlarged * 255).round().astype(np.uint8)
  expected = play(vosjax.VideoSegmenter(model, variables), enlarged)
  for result, enlarged_result in zip(results, expected):
    assert result.labels.shape == (20, 30)
    restored = np.asarray(framing.restore(jnp.asarray(enlarged_result.probs[None])))[0]
    np.testing.assert_allclose(result.probs, restored, atol=1e-5)


def test_rvos_restores_masks_from_nearest_neighbours(small):
  framing = small("rvos", size=(32, 48))[0].framing((20, 30))
  probs = np.random.default_rng(0).random((1, 2, 32, 48), np.float32)
  restored = np.asarray(framing.restore(jnp.asarray(probs)))
  assert restored.shape == (1, 2, 20, 30)
  assert set(restored.ravel().tolist()) <= set(probs.ravel().tolist())


def test_probabilities_stay_on_the_device_until_they_are_read(small, frames):
  result = vosjax.VideoSegmenter(*small("rvos")).start(frames[0])
  assert isinstance(result.slot_probs, jax.Array)
  assert "probs" not in vars(result)
  assert isinstance(result.probs, np.ndarray)
  assert result.probs is result.probs


@pytest.mark.parametrize("name", ZERO_SHOT)
def test_zero_shot_models_refuse_labels(name, small, frames):
  segmenter = vosjax.VideoSegmenter(*small(name))
  assert not segmenter.one_shot
  labels = np.ones(frames.shape[1:3], np.int32)
  for method, call in {
    "start": lambda: segmenter.start(frames[0], labels),
    "run": lambda: segmenter.run(frames, labels),
    "run ": lambda: segmenter.run(frames, iter([labels])),
    "step": lambda: segmenter.step(frames[1], labels),
    "add": lambda: segmenter.add(labels),
  }.items():
    if method == "step":
      segmenter.start(frames[0])
    message = rf"{method.strip()}\(\): labels are given, but this model is zero-shot"
    with pytest.raises(ValueError, match=message):
      call()


def test_options_that_a_model_does_not_have(small, tiny):
  init = vosjax.VideoSegmenter
  with pytest.raises(
    ValueError, match="'coarse', but the objects of RVOS do not compete"
  ):
    init(*small("rvos"), recurrence="coarse")
  with pytest.raises(ValueError, match="references is 3, but AGame takes none"):
    init(*tiny, references=3)
  with pytest.raises(ValueError, match="references is 8; expected 0 to 7, or 'all'"):
    init(*small("cosnet"), references=8)
  with pytest.raises(ValueError, match="reference_policy is 'near'; known:"):
    init(*small("cosnet"), reference_policy="near")
  with pytest.raises(ValueError, match="recurrence is 'slow'; known:"):
    inspect.unwrap(checks.choose_recurrence)("slow", tiny[0])
  with pytest.raises(ValueError, match=r"dtype is 'int8'; known: \['float32', 'bfl"):
    init(*tiny, dtype="int8")


@pytest.mark.parametrize("name", ["agame", "rvos"])
def test_convolutions_in_bfloat16_change_little(name, small, tiny, frames, first):
  model, labels = (tiny, first) if name == "agame" else (small("rvos"), None)
  plain, short = (
    play(vosjax.VideoSegmenter(*model, dtype=dtype), frames[:3], labels)
    for dtype in ("float32", "bfloat16")
  )
  gaps = [np.abs(a.probs - b.probs).max() for a, b in zip(plain[1:], short[1:])]
  assert 0 < max(gaps) < 0.3
  assert short[-1].probs.dtype == np.float32
