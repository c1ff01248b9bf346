"""COSNet's forms and fusions on a network small enough to run in no time."""

import functools

import jax
import numpy as np
import pytest

from vosjax import models
from vosjax.models.cosnet import COSNetState

FIELDS = {
    "backbone": "resnet18", "width": 4, "features": 8, "branch_features": 4,
    "rates": (1, 2), "size": None,
}  # fmt: skip
SIZE = (33, 41)
FRAMES = np.random.RandomState(0).uniform(0, 1, (6, *SIZE, 3)).astype(np.float32)
ACTIVE = np.ones((1, 1), bool)


def make(**fields):
  """A model and variables that are all off their initial values."""
  model = models.build("cosnet", **FIELDS, **fields)
  shapes = jax.eval_shape(model.init, jax.random.key(0), FRAMES[:1])
  rng = np.random.default_rng(0)

  def leaf(path, x):
    if path[-1].key in ("scale", "var"):
      return rng.uniform(0.5, 1.5, x.shape).astype(np.float32)
    fan_in = np.prod(x.shape[:-1]) if x.ndim > 1 else 4
    gain = 0.01 if "stem" in str(path) else 1.0  # frames are in the +-130 range
    return rng.normal(0, gain / np.sqrt(fan_in), x.shape).astype(np.float32)

  return model, jax.tree_util.tree_map_with_path(leaf, shapes)


def call(model, variables, method, *args):
  return jax.jit(functools.partial(model.apply, method=method))(variables, *args)


def segment(model, variables, query, references):
  """Probabilities of one frame, with any number of references."""
  encoded = call(model, variables, "encode", np.concatenate([query, references]))
  state = COSNetState(encoded.deep[None, 1:])
  features = encoded.replace(deep=encoded.deep[:1])
  _, prediction = call(model, variables, "segment", state, features, ACTIVE)
  probs = np.asarray(jax.nn.sigmoid(prediction.logits[0, 0]))
  assert probs.std() > 1e-3  # there is something to compare
  return probs


@pytest.mark.parametrize("form", ["vanilla", "symmetric", "channelwise", "none"])
@pytest.mark.parametrize("gated", [True, False])
def test_the_stream_equals_the_pair(form, gated):
  model, variables = make(attention=form, gated=gated)
  a, b = FRAMES[:1], FRAMES[1:2]
  expected, _ = call(model, variables, "pair", a, b)
  for fusion in ("summary", "prediction", "joint"):
    found = segment(model.clone(fusion=fusion), variables, a, b)
    np.testing.assert_allclose(found, expected[0], atol=1e-5)


def test_prediction_fusion_is_the_mean_of_pairs():
  model, variables = make(fusion="prediction")
  query = FRAMES[:1]
  pairs = [call(model, variables, "pair", query, f[None])[0][0] for f in FRAMES[1:4]]
  found = segment(model, variables, query, FRAMES[1:4])
  np.testing.assert_allclose(found, np.mean(pairs, 0), atol=1e-5)


@pytest.mark.parametrize("fusion", ["summary", "prediction", "joint", "group"])
def test_the_order_and_repetition_of_references_change_nothing(fusion):
  model, variables = make(fusion=fusion)
  query, references = FRAMES[:1], FRAMES[1:4]
  expected = segment(model, variables, query, references)
  turned = segment(model, variables, query, references[::-1])
  np.testing.assert_allclose(turned, expected, atol=1e-5)
  twice = segment(model, variables, query, np.concatenate([references] * 2))
  np.testing.assert_allclose(twice, expected, atol=1e-5)


def test_without_references_the_frame_stands_for_itself():
  model, variables = make(num_references=0)
  features = call(model, variables, "encode", FRAMES[:1])
  state = call(model, variables, "init_state", features)
  _, prediction = call(model, variables, "segment", state, features, ACTIVE)
  saliency = call(model, variables, "saliency", FRAMES[:1])
  expected = models.cosnet.upsample(saliency, SIZE)
  np.testing.assert_allclose(prediction.logits[:, 0], expected, atol=1e-6)


def test_a_remembered_frame_takes_the_place_of_one_reference():
  model, variables = make(num_references=3)
  encoded = call(model, variables, "encode", FRAMES[:2])
  first, second = (encoded.replace(deep=encoded.deep[i : i + 1]) for i in (0, 1))
  state = call(model, variables, "init_state", first)
  state = call(model, variables, "remember", state, second, 1)
  for i, frame in enumerate((0, 1, 0)):
    np.testing.assert_array_equal(state.references[0, i], encoded.deep[frame])


def test_folded_variables_give_the_same():
  model, variables = make()
  expected = call(model, variables, "pair", FRAMES[:1], FRAMES[1:2])
  folded = models.fold(variables)
  found = call(model.clone(folded=True), folded, "pair", FRAMES[:1], FRAMES[1:2])
  for a, b in zip(found, expected):
    np.testing.assert_allclose(a, b, atol=1e-4)


def test_batch_statistics_of_a_pair_are_of_each_frame():
  model, variables = make()

  def train(a, b):
    logits, updated = model.apply(
        variables, a, b, train=True, method="pair_logits", mutable=["batch_stats"]
    )
    return logits.saliency_a, updated

  train = jax.jit(train)
  alone, _ = train(FRAMES[:2], FRAMES[:2])
  beside, _ = train(FRAMES[:2], 1 - FRAMES[2:4])
  np.testing.assert_allclose(alone, beside, atol=1e-5)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"fusion": "mean"}, "fusion 'mean' is unknown; known: 'summary'"),
        ({"attention": "full"}, "form 'full' is unknown; known: 'vanilla'"),
    ],
)
def test_bad_fields_are_named(fields, text):
  with pytest.raises(ValueError, match=text):
    make(**fields)
