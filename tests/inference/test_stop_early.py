"""RSIS and RIS stop after the last object: same numbers up to it, nothing after it."""

import jax
import numpy as np
import pytest

import vosjax
from vosjax.inference import programs
from vosjax.models.modules.sequence import NOTHING

HEADS = {"rsis": ("stop", "stop_logits"), "ris": ("score_head", "score_logits")}


EVERY = np.ones((1, 4), bool)


@pytest.fixture
def encode(apply, frames):
  """Features of the first two frames, encoded one by one like elsewhere."""

  def call(model, variables):
    return [
      apply(model, "encode", variables, frame[None] / np.float32(255))
      for frame in frames[:2]
    ]

  return call


@pytest.fixture
def predict(apply, encode):
  """What a model that does not stop predicts of two frames."""

  def call(model, variables):
    predictions = []
    for features in encode(model, variables):
      state = apply(model, "init_state", variables, features, None)
      _, prediction = apply(model, "segment", variables, state, features, EVERY)
      predictions.append(prediction)
    return batch(predictions)

  return call


@pytest.fixture
def predict_early(apply, encode):
  """What a model that stops early predicts of a batch of two frames."""

  def call(model, variables, active):
    features = batch(encode(model, variables))
    state = apply(model, "init_state", variables, features, None)
    model = vosjax.models.with_execution(model, stop_early=True)
    return apply(model, "segment", variables, state, features, active)[1]

  return call


def batch(trees):
  return jax.tree.map(lambda *leaves: np.concatenate(leaves), *trees)


def count(scores):
  """Number of objects before the first stop."""
  return (np.cumprod(scores >= 0, axis=1) > 0).sum(1)


def turn(variables, head, level):
  """Negates scores, which rise with these weights, and lowers them by `level`."""
  params = variables["params"]
  negated = {name: -x for name, x in params[head].items()}
  negated["bias"] = negated["bias"] - np.float32(level)
  return variables | {"params": params | {head: negated}}


@pytest.fixture
def ending(small, predict):
  """Makes a model that finds different numbers of objects in two frames.

  Returns model, variables, what it predicts if it does not stop, and these numbers.
  """

  def make(name):
    model, variables = small(name)
    head, score = HEADS[name]
    scores = -predict(model, variables).aux[score]
    level = scores[:, 1].mean()  # one frame stops there, the other goes on
    variables, ends = turn(variables, head, level), count(scores - level)
    assert sorted(ends) == [1, 2]
    return model, variables, predict(model, variables), ends

  return make


@pytest.mark.parametrize("name", HEADS)
def test_slots_after_the_last_stop_are_not_decoded(name, ending, predict_early):
  model, variables, complete, ends = ending(name)
  early = predict_early(model, variables, np.repeat(EVERY, 2, 0))
  decoded = max(ends) + 1  # the last one tells that nothing is left
  for found, expected in zip(
    jax.tree.leaves(early), jax.tree.leaves(complete), strict=True
  ):
    np.testing.assert_allclose(
      found[:, :decoded], expected[:, :decoded], rtol=1e-5, atol=1e-5
    )
    assert (found[:, decoded:] == NOTHING).all()
  np.testing.assert_array_equal(count(early.aux[HEADS[name][1]]), ends)


@pytest.mark.parametrize("name", HEADS)
def test_slots_after_the_last_active_one_are_not_decoded(name, small, predict_early):
  model, variables = small(name)
  variables = turn(variables, HEADS[name][0], -100)  # objects everywhere
  active = np.tile(np.arange(4) < 2, (2, 1))
  early = predict_early(model, variables, active)
  decoded = (early.logits != NOTHING).any((2, 3))
  np.testing.assert_array_equal(decoded, active)


def test_programs_stop_early_if_the_model_stops(small):
  for name, fields, expected in (
    ("rsis", {}, True),
    ("rsis", {"skip_stops": True}, False),
    ("ris", {}, True),
  ):
    model, variables = small(name)
    model, _ = programs.prepare(model.clone(**fields), variables)
    assert model.execution.stop_early == expected


def test_skipped_objects_do_not_end_the_list(small, frames, predict):
  """As released: objects after a low score are found, with their own masks."""
  model, variables = small("rsis")
  complete = predict(model, variables)
  level = np.asarray(complete.aux["stop_logits"][0, :2]).mean()
  head = variables["params"]["stop"]
  head = head | {"bias": head["bias"] - level}
  variables = variables | {"params": variables["params"] | {"stop": head}}
  present = np.asarray(complete.aux["stop_logits"][0]) >= level
  assert present.tolist() == [False, True, True, True]
  large = (np.asarray(complete.logits[0]) > 0).mean((1, 2)) >= model.readout.min_share
  segmenter = vosjax.VideoSegmenter(model.clone(skip_stops=True), variables)
  result = segmenter.start(frames[0])
  assert result.object_ids == tuple(1 + np.flatnonzero(present & large))
  expected = np.asarray(jax.nn.sigmoid(complete.logits[0]))[present & large]
  np.testing.assert_allclose(result.probs, expected, atol=1e-4)
