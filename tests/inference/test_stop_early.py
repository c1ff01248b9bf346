"""RSIS and RIS end with the last object: the same numbers, and nothing behind it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vosjax
from vosjax.benchmarks import model
from vosjax.inference import programs
from vosjax.models.modules.sequence import NOTHING

HEADS = {"rsis": ("stop", "stop_logits"), "ris": ("score_head", "score_logits")}


def segment(model, variables, frames, active):
  def run(variables, frames):
    features = model.apply(variables, frames, method="encode")
    state = model.apply(variables, features, None, method="init_state")
    return model.apply(variables, state, features, active, method="segment")[1]

  return jax.jit(run)(variables, frames)


def count(scores):
  """Objects before the first stop."""
  return (np.cumprod(scores >= 0, axis=1) > 0).sum(1)


def turn(variables, head, level):
  """Scores with the other sign, as they rise here, and lower by a level."""
  params = variables["params"]
  turned = {name: -x for name, x in params[head].items()}
  turned["bias"] = turned["bias"] - np.float32(level)
  return variables | {"params": params | {head: turned}}


@pytest.fixture
def ending(small, frames):
  """Makes a model whose two frames hold different numbers of objects, all it decodes
  without an end, and these numbers."""

  def make(name):
    model, variables = small(name)
    head, score = HEADS[name]
    pair, every = frames[:2] / np.float32(255), jnp.ones((2, 4), bool)
    scores = -np.asarray(segment(model, variables, pair, every).aux[score])
    level = scores[:, 1].mean()  # one frame goes on there
    variables, ends = turn(variables, head, level), count(scores - level)
    assert sorted(ends) == [1, 2]
    return model, variables, segment(model, variables, pair, every), ends

  return make


@pytest.mark.parametrize("name", HEADS)
def test_slots_behind_the_last_end_are_not_decoded(name, ending, frames):
  model, variables, whole, ends = ending(name)
  pair, every = frames[:2] / np.float32(255), jnp.ones((2, 4), bool)
  early = segment(
    vosjax.models.with_execution(model, stop_early=True), variables, pair, every
  )
  decoded = max(ends) + 1  # the last of them says that nothing is left
  for found, expected in zip(
    jax.tree.leaves(early), jax.tree.leaves(whole), strict=True
  ):
    np.testing.assert_allclose(
      found[:, :decoded], expected[:, :decoded], rtol=1e-5, atol=1e-5
    )
    assert (found[:, decoded:] == NOTHING).all()
  np.testing.assert_array_equal(count(early.aux[HEADS[name][1]]), ends)


@pytest.mark.parametrize("name", HEADS)
def test_nor_are_slots_behind_the_last_active_one(name, small, frames):
  model, variables = small(name)
  variables = turn(variables, HEADS[name][0], -100)  # objects everywhere
  active = jnp.arange(4)[None] < 2
  pair = frames[:1] / np.float32(255)
  early = segment(
    vosjax.models.with_execution(model, stop_early=True), variables, pair, active
  )
  decoded = (early.logits != NOTHING).any((2, 3))
  np.testing.assert_array_equal(decoded, active)


def test_programs_end_early_where_sequences_end(small):
  for name, fields, expected in (
    ("rsis", {}, True),
    ("rsis", {"skip_stops": True}, False),
    ("ris", {}, True),
  ):
    model, variables = small(name)
    model, _ = programs.prepare(model.clone(**fields), variables)
    assert model.execution.stop_early == expected


def test_what_is_skipped_ends_nothing(small, frames):
  """As released: objects behind a low score are there, with their own masks."""
  model, variables = small("rsis")
  whole = segment(
    model, variables, frames[:1] / np.float32(255), jnp.ones((1, 4), bool)
  )
  level = np.asarray(whole.aux["stop_logits"][0, :2]).mean()
  head = variables["params"]["stop"]
  head = head | {"bias": head["bias"] - level}
  variables = variables | {"params": variables["params"] | {"stop": head}}
  there = np.asarray(whole.aux["stop_logits"][0]) >= level
  assert there.tolist() == [False, True, True, True]
  large = (np.asarray(whole.logits[0]) > 0).mean((1, 2)) >= model.readout.min_share
  segmenter = vosjax.VideoSegmenter(model.clone(skip_stops=True), variables)
  result = segmenter.start(frames[0])
  assert result.object_ids == tuple(1 + np.flatnonzero(there & large))
  expected = np.asarray(jax.nn.sigmoid(whole.logits[0]))[there & large]
  np.testing.assert_allclose(result.probs, expected, atol=1e-4)


def test_benchmarks_time_all_slots(monkeypatch):
  """Scores of random weights would end somewhere."""
  seen = []
  advance = programs.advance

  def watch(model, *args):
    seen.append(model.execution.stop_early)
    return advance(model, *args)

  monkeypatch.setattr(programs, "advance", watch)
  model.measure("ris", size=(16, 16), objects=2, frames=1, compare=False, channels=2)
  assert seen and not any(seen)
