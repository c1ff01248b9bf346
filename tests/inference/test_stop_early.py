"""RSIS and RIS stop after the last object: same numbers up to it, nothing after it."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vosjax
from vosjax.inference import programs
from vosjax.models.modules.sequence import NOTHING

HEADS = {"rsis": ("stop", "stop_logits"), "ris": ("score_head", "score_logits")}


@functools.partial(jax.jit, static_argnums=0)
def segment(model, variables, frames, active):
  """The prediction of one frame of each video."""
  features = model.apply(variables, frames, method="encode")
  state = model.apply(variables, features, None, method="init_state")
  return model.apply(variables, state, features, active, method="segment")[1]


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
def ending(small, frames):
  """Makes a model that finds different numbers of objects in two frames.

  Returns model, variables, what it predicts if it does not stop, and these numbers.
  """

  def make(name):
    model, variables = small(name)
    head, score = HEADS[name]
    pair, every = frames[:2] / np.float32(255), jnp.ones((2, 4), bool)
    scores = -np.asarray(segment(model, variables, pair, every).aux[score])
    level = scores[:, 1].mean()  # one frame stops there, the other goes on
    variables, ends = turn(variables, head, level), count(scores - level)
    assert sorted(ends) == [1, 2]
    return model, variables, segment(model, variables, pair, every), ends

  return make


@pytest.mark.parametrize("name", HEADS)
def test_slots_after_the_last_stop_are_not_decoded(name, ending, frames):
  model, variables, complete, ends = ending(name)
  pair, every = frames[:2] / np.float32(255), jnp.ones((2, 4), bool)
  early = segment(model.clone(stop_early=True), variables, pair, every)
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
def test_slots_after_the_last_active_one_are_not_decoded(name, small, frames):
  model, variables = small(name)
  variables = turn(variables, HEADS[name][0], -100)  # objects everywhere
  active = jnp.broadcast_to(jnp.arange(4) < 2, (2, 4))
  pair = frames[:2] / np.float32(255)
  early = segment(model.clone(stop_early=True), variables, pair, active)
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
    assert model.stop_early == expected


def test_skipped_objects_do_not_end_the_list(small, frames):
  """As released: objects after a low score are found, with their own masks."""
  model, variables = small("rsis")
  pair, every = frames[:2] / np.float32(255), jnp.ones((2, 4), bool)
  complete = segment(model, variables, pair, every)
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
