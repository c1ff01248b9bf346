"""A-GAME against the official program; tolerances from its specification."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vosjax
from vosjax.inference import programs
from vosjax.models.unroll import encode_clip, unroll_features
from vosjax.ops import resize


def gap(actual, expected):
  """Largest difference as a fraction of the largest expected magnitude."""
  actual, expected = np.asarray(actual), np.asarray(expected)
  assert actual.shape == expected.shape
  return np.abs(actual - expected).max() / np.abs(expected).max()


@pytest.fixture(scope="module")
def agame(official):
  return official("agame")


@pytest.mark.parametrize(
  ("recurrence", "prefix"), [("fine", ""), ("coarse", "coarse_mode_")]
)
def test_one_object(agame, golden, recurrence, prefix):
  case = golden("agame/golden_single.npz")
  prediction = check_one_object(agame, case, recurrence, prefix, 2 if prefix else 1)
  # The first frame, which is given, has no prediction here.
  found = jax.nn.log_sigmoid(prediction.logits[0, :, 0, ::4, ::4])
  assert gap(found, case[f"{prefix}logsegs_fg"][1:]) < 2e-5
  coarse = jax.nn.log_sigmoid(prediction.aux["coarse_logits"][0, :, 0])
  found = resize.bilinear(coarse[..., None], case["first_label"].shape)[..., 0]
  expected = case[f"{prefix}coarse_logsegs_fg"][1:]
  assert gap(found[:, ::4, ::4], expected) < 2e-5


def test_one_object_at_another_size(agame, shared):
  with np.load(shared / "reference/agame/golden_single_240x432.npz") as case:
    check_one_object(agame, case, "fine", "", 2)


@functools.partial(jax.jit, static_argnums=0)  # compiled once for both recurrences
def encode(model, variables, frames):
  return encode_clip(model, variables, frames, train=False)[0]


def check_one_object(agame, case, recurrence, prefix, step):
  """Compares what is stored of every run; `step` is the stride of stored pixels."""
  model, variables = agame
  frames = case["frames"][None] / np.float32(255)
  masks = jnp.asarray(case["first_label"][None, None] == 1, jnp.float32)
  features = encode(model, variables, frames)
  clip = jax.jit(lambda *args: unroll_features(model, *args, recurrence=recurrence))(
    variables, features, masks
  )
  prediction = clip.predictions
  scores = np.moveaxis(np.asarray(prediction.aux["scores"][0, :, 0]), -1, 1)
  assert gap(scores, case[f"{prefix}appearance_scores"]) < 2e-5
  coarse = case[f"{prefix}coarse_scores"]
  coarse = coarse[:, 1] - coarse[:, 0]
  assert gap(prediction.aux["coarse_logits"][0, :, 0], coarse) < 2e-5
  probs = np.asarray(jax.nn.sigmoid(prediction.logits[0, :, 0]))
  assert gap(probs[:, ::step, ::step], case[f"{prefix}object_prob"]) < 2e-5
  gaussians = clip.state.appearance.gaussians
  assert gap(gaussians.means[0, 0], case[f"{prefix}final_means"]) < 1e-5
  assert gap(gaussians.variances[0, 0], case[f"{prefix}final_covs"]) < 1e-5
  labels = case[f"{prefix}label_maps"]
  np.testing.assert_array_equal(labels[0], case["first_label"])
  assert ((probs > 0.5) != (labels[1:] == 1)).mean() < 1e-3
  return prediction


@pytest.fixture
def watched(monkeypatch):
  """The engine's predictions for each frame, and the states after them."""
  predictions, states, step = [], [], programs.step
  segment = jax.jit(
    lambda model, *args: model.apply(*args, method="segment")[1], static_argnums=0
  )

  def watch(model, recurrence, variables, state, frames, active, *rest):
    features = programs.encode(model, variables, frames)
    predictions.append(segment(model, variables, state, features, active))
    result = step(model, recurrence, variables, state, frames, active, *rest)
    states.append(result[1][0])
    return result

  monkeypatch.setattr(programs, "step", watch)
  return predictions, states


@pytest.mark.parametrize("name", ["multi", "padded"])
def test_many_objects_streaming(agame, golden, watched, name):
  """Late objects, tracking order and padding, through the inference engine."""
  case = golden(f"agame/golden_{name}.npz")
  segmenter = vosjax.VideoSegmenter(*agame, max_objects=len(case["object_ids"]))
  framing = agame[0].framing(case["frames"].shape[1:3])
  predictions, states = watched
  for t, frame in enumerate(case["frames"]):
    labels = case["given_labels"][t] if case["given_present"][t] else None
    if t == 0:
      segmenter.start(frame, labels)
      continue
    result = segmenter.step(frame, labels)
    visible = [
      int(i) for i, since in zip(case["object_ids"], case["visible_from"]) if since <= t
    ]
    assert list(result.object_ids) == visible
    expected = case["aggregated_prob"][t - 1][: len(visible)]
    assert gap(result.probs, expected) < 5e-5
    assert (result.labels != case["label_maps"][t]).mean() < 2e-3
    check_objects(case, t - 1, len(visible), predictions[-1], framing)
  gaussians = states[-1].appearance.gaussians
  assert gap(gaussians.means[0], case["final_means"]) < 1e-5
  assert gap(gaussians.variances[0], case["final_covs"]) < 1e-5


def check_objects(case, t, count, prediction, framing):
  """Scores, coarse scores and probabilities of objects, before they compete."""
  scores = np.moveaxis(np.asarray(prediction.aux["scores"][0, :count]), -1, 1)
  assert gap(scores, case["appearance_scores"][t, :count]) < 2e-5
  coarse = case["coarse_scores"][t, :count]
  found = prediction.aux["coarse_logits"][0, :count]
  assert gap(found, coarse[:, 1] - coarse[:, 0]) < 2e-5
  probs = framing.restore(jax.nn.sigmoid(prediction.logits))[0, :count]
  expected = case["object_prob"][t, :count]
  step = probs.shape[-1] // expected.shape[-1]  # of the stored pixels
  assert gap(probs[:, ::step, ::step], expected) < 2e-5
  assert (case["object_prob"][t, count:] == -1).all()
