"""What speaks for a mask, and the score that is made of it."""

import jax.numpy as jnp
import numpy as np

import vosjax
from vosjax.inference import confidence
from vosjax.types import Prediction


def test_evidence_by_hand():
  probs = np.zeros((1, 3, 4, 8), np.float32)
  probs[0, 0, :, :4] = 0.75  # a mask of 16 pixels
  probs[0, 1, 0, 4:] = 0.25  # nothing is more probable than the background
  probs[0, 2, :, 4:] = 1.0
  labels = np.zeros((1, 4, 8), np.uint8)
  labels[0, :, :4], labels[0, :, 4:] = 1, 3
  plain = confidence.evidence(Prediction(probs, {}), probs, probs, labels)
  np.testing.assert_allclose(plain[0, :, 0], [0.75, 0, 1], rtol=1e-6)
  cues = np.zeros((1, 3, 2, 4, 5), np.float32)
  cues[0, 0, :, :2, 1] = 0.5  # the first frame is less sure
  cues[0, 2, 0, 2:, 1] = 1.0  # and sees a half of this object
  found = confidence.evidence(
    Prediction(probs, {"cues": jnp.asarray(cues)}), probs, probs, labels
  )
  np.testing.assert_allclose(found[0, :, 0], plain[0, :, 0])
  np.testing.assert_allclose(found[0, :, 1], [0.5 / 0.75, 0, 0.5], rtol=1e-6)


def test_scores_rise_with_the_evidence_and_are_calibrated_with_a_cue():
  both = np.array([[0.95, 0.9], [0.95, 0.2], [0.6, 0.2], [0.0, 0.0]], np.float32)
  scores = confidence.score(both)
  assert (np.diff(scores) < 0).all()
  assert 0.9 < scores[0] < 1 and 0 < scores[3] < 0.1
  weights, bias = confidence.CALIBRATION[:2], confidence.CALIBRATION[2]
  odds = np.exp(bias) * (19.0 ** weights[0]) * (9.0 ** weights[1])
  np.testing.assert_allclose(scores[0], odds / (1 + odds), rtol=1e-5)
  np.testing.assert_array_equal(confidence.score(both[:, :1]), both[:, 0])


def test_results_have_scores(small, tiny, frames, first):
  cued = small("agame", output_stride=8, deep="pyramid", matching_lags=(1,))
  for model in (tiny, cued):
    segmenter = vosjax.VideoSegmenter(*model, max_objects=4)
    given = segmenter.start(frames[0], np.where(first == 2, 7, first))
    assert given.scores.tolist() == [1, 1, 1] and not given.lost.any()
    result = segmenter.step(frames[1])
    assert not {"labels", "object_ids", "probs", "scores"} & set(vars(result))
    assert result.scores.shape == result.lost.shape == (3,)
    assert result.scores.dtype == np.float32
    assert ((result.scores >= 0) & (result.scores <= 1)).all()
    np.testing.assert_array_equal(result.lost, result.scores < 0.6)
    if model is tiny:  # by hand
      mask = result.labels == 7
      prob = result.probs[result.object_ids.index(7)]
      union = mask.sum() + prob.sum() - prob[mask].sum()
      score = result.scores[result.object_ids.index(7)]
      np.testing.assert_allclose(score, prob[mask].sum() / union, rtol=1e-4)
