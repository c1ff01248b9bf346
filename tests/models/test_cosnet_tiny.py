"""COSNet's forms and fusions on a tiny network."""

import functools
import itertools
import zlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from vosjax import models
from vosjax.models.backbones.stages import STAGES, join_stages
from vosjax.models.cosnet import COSNetState
from vosjax.models.modules.co_attention import CoAttention
from vosjax.ops import affinity

FIELDS = {
  "backbone": "resnet18",
  "width": 4,
  "features": 8,
  "branch_features": 4,
  "rates": (1, 2),
  "size": None,
}
SIZE = (33, 41)
FRAMES = np.random.RandomState(0).uniform(0, 1, (6, *SIZE, 3)).astype(np.float32)
ACTIVE = np.ones((1, 1), bool)


def make(**fields):
  """A model and variables that are all off their initial values.

  Kernels are large enough for features to depend on the frame and the place, and the
  affinity's weight is small enough for attention not to be all or nothing.
  """
  model = models.build("cosnet", **FIELDS, **fields)
  shapes = jax.eval_shape(model.init, jax.random.key(0), FRAMES[:1])

  def leaf(path, x):
    names = [key.key for key in path]
    # What forms have in common is drawn alike.
    rng = np.random.default_rng(zlib.crc32("/".join(names).encode()))
    weight = names[1] == "co_attention" and names[-1] != "gate"
    if names[-1] in ("scale", "var"):
      low, high = (0.005, 0.02) if weight else (0.5, 1.5)
      return rng.uniform(low, high, x.shape).astype(np.float32)
    fan_in = np.prod(x.shape[:-1]) if x.ndim > 1 else 4
    gain = 1.5 if x.ndim > 1 and "encoder" in names else 1.0
    if "stem" in names:  # frames are in the +-130 range
      gain = 0.01
    if weight and names[-1] == "kernel":
      gain = 0.02
    return rng.normal(0, gain / np.sqrt(fan_in), x.shape).astype(np.float32)

  return model, jax.tree_util.tree_map_with_path(leaf, shapes)


@functools.partial(jax.jit, static_argnums=(0, 2))
def call(model, variables, method, *args):
  return model.apply(variables, *args, method=method)


def segment(model, variables, query, references):
  """Probabilities of one frame, with any number of references."""
  frames = np.concatenate([query, references])
  encoded = call(model.clone(fusion="summary"), variables, "encode", frames)
  state = COSNetState(encoded.deep[None, 1:])
  features = encoded.replace(deep=encoded.deep[:1])
  _, prediction = call(model, variables, "segment", state, features, ACTIVE)
  probs = np.asarray(jax.nn.sigmoid(prediction.logits[0, 0]))
  assert probs.std() > 1e-3  # there is something to compare
  return probs


@pytest.mark.parametrize("form", ["vanilla", "symmetric", "channelwise"])
def test_attention_is_neither_uniform_nor_saturated_here(form):
  """Otherwise the tests below could not distinguish anything."""
  model, variables = make(attention=form)
  deep = call(model, variables, "encode", FRAMES[:2]).deep

  def scores(model, a, b):
    return affinity.affinity(model.co_attention.project(a), b)

  found = np.asarray(call(model, variables, scores, deep[:1], deep[1:]))
  positions = found.shape[1] * found.shape[2]
  for axis in (0, 1):
    largest = softmax(found.reshape(positions, -1), axis).max(axis).mean()
    assert 5 / positions < largest < 0.8


def test_fusions_differ():
  """By far more than the tolerances of the other tests."""
  model, variables = make()
  found = {
    fusion: segment(model.clone(fusion=fusion), variables, FRAMES[:1], FRAMES[1:4])
    for fusion in ("summary", "prediction", "joint", "group")
  }
  for (one, a), (other, b) in itertools.combinations(found.items(), 2):
    assert np.abs(a - b).max() > 1e-3, (one, other)
  alone = call(model, variables, "saliency", FRAMES[:1])
  alone = jax.nn.sigmoid(models.cosnet.upsample(alone, SIZE))[0]
  less = segment(model, variables, FRAMES[:1], FRAMES[1:2])
  for other in (alone, less):
    assert np.abs(found["summary"] - other).max() > 1e-3


@pytest.mark.parametrize("form", ["vanilla", "symmetric", "channelwise", "none"])
@pytest.mark.parametrize("gated", [True, False])
def test_the_stream_equals_the_pair(form, gated):
  model, variables = make(attention=form, gated=gated)
  fusions = ("summary", "prediction", "joint")

  @jax.jit  # one program, in which the frames are encoded once
  def run(variables, frames):
    encoded = model.apply(variables, frames, method="encode")
    state = COSNetState(encoded.deep[None, 1:])
    features = encoded.replace(deep=encoded.deep[:1])
    found = []
    for fusion in fusions:
      apply = model.clone(fusion=fusion).apply
      _, prediction = apply(variables, state, features, ACTIVE, method="segment")
      found.append(jax.nn.sigmoid(prediction.logits[0, 0]))
    return model.apply(variables, frames[:1], frames[1:], method="pair")[0][0], found

  expected, found = run(variables, FRAMES[:2])
  assert np.std(expected) > 1e-3  # there is something to compare
  for fusion, probs in zip(fusions, found):
    np.testing.assert_allclose(probs, expected, atol=1e-5, err_msg=fusion)


def softmax(x, axis):
  x = np.exp(x - x.max(axis, keepdims=True))
  return x / x.sum(axis, keepdims=True)


@pytest.mark.parametrize("gated", [True, False])
def test_co_attention_by_its_definition(gated):
  """Equations 2 to 9 on columns of features, in frames of different sizes."""
  rng = np.random.default_rng(0)
  a, b = rng.normal(size=(1, 3, 4, 8)), rng.normal(size=(1, 2, 7, 8))
  weight, gate = rng.normal(size=(8, 8)), rng.normal(size=8)
  params = {"kernel": weight.T} | ({"gate": gate} if gated else {})
  params = jax.tree.map(np.float32, params)
  v_a, v_b = a.reshape(-1, 8).T, b.reshape(-1, 8).T  # [c n]
  scores = (weight @ v_a).T @ v_b  # rows: a, columns: b
  expected = (
    v_b @ softmax(scores, 1).T,  # for each position of a, over those of b
    v_a @ softmax(scores, 0),
  )
  if gated:
    expected = [z / (1 + np.exp(-gate @ z)) for z in expected]

  def read(module, a, b):
    return [module.gate(z) for z in module.pair(a, b)]

  found = CoAttention(8, gated=gated).apply(
    {"params": params}, jnp.float32(a), jnp.float32(b), method=read
  )
  for z, truth, frame in zip(found, expected, (a, b)):
    np.testing.assert_allclose(z, truth.T.reshape(frame.shape), atol=1e-5)


def test_a_head_takes_the_summary_before_the_features():
  model, variables = make()
  kernel = variables["params"]["head_a"]["join"]["conv"]["kernel"]
  kernel = np.array(kernel)
  kernel[:, :, 8:] = 0  # nothing of the frame's own features
  head = variables["params"]["head_a"]
  join = head["join"] | {"conv": {"kernel": kernel}}
  params = variables["params"] | {"head_a": head | {"join": join}}
  rng = np.random.default_rng(0)
  maps = np.float32(rng.normal(size=(3, 1, 4, 5, 8)))

  def look(model, summary, deep):
    return model.head_a(summary, deep)

  logits = [
    call(model, variables | {"params": params}, look, summary, deep)
    for summary, deep in ((maps[0], maps[1]), (maps[0], maps[2]), (maps[1], maps[2]))
  ]
  np.testing.assert_array_equal(logits[0], logits[1])
  assert np.abs(logits[1] - logits[2]).max() > 1e-2


@pytest.mark.parametrize(("backbone", "first"), [("resnet18", 2), ("resnet50", 1)])
def test_the_norms_of_all_shortcuts_are_frozen(backbone, first):
  model = models.build("cosnet", **FIELDS | {"backbone": backbone})
  shapes = jax.eval_shape(model.init, jax.random.key(0), FRAMES[:1])
  found = {
    path.rpartition("/")[0]
    for path in flatten_dict(shapes["params"], sep="/")
    if "shortcut/norm" in path
  }
  assert set(model.frozen) == found
  assert len(found) == 5 - first


def test_the_features_of_a_pyramid_are_pooled_from_three_stages_at_their_own_strides():
  model, variables = make(deep="pyramid")

  def expected(model, frames):
    stages = model.encoder.network(model.encoder.network.normalise(frames))
    shapes = [x.shape[1:3] for x in (stages.stage2, stages.stage3, stages.stage4)]
    assert shapes == [(5, 6), (3, 3), (2, 2)]
    return model.encoder.pyramid(join_stages(stages)), join_stages(stages)

  deep, joined = call(model, variables, expected, FRAMES[:1])
  assert deep.shape == (1, 5, 6, 8)
  found = call(model, variables, "encode", FRAMES[:1]).deep
  np.testing.assert_allclose(found, deep, rtol=1e-5, atol=1e-5)
  dilated = make()[1]["params"]["encoder"]["pyramid"]["pointwise"]["conv"]["kernel"]
  kernel = variables["params"]["encoder"]["pyramid"]["pointwise"]["conv"]["kernel"]
  assert kernel.shape[2] == joined.shape[-1] > dilated.shape[2]


@pytest.mark.parametrize(
  ("backbone", "deep"), [("resnet18", "dilated"), ("efficientnet_lite0", "pyramid")]
)
def test_frozen_stages_keep_their_statistics_and_have_no_gradient(backbone, deep):
  fields = FIELDS | {"backbone": backbone, "deep": deep, "frozen_stages": STAGES}
  model = models.build("cosnet", **fields)
  variables = jax.jit(model.init)(jax.random.key(0), FRAMES[:1])

  @jax.jit
  def gradients(params):
    def loss(params):
      changed = variables | {"params": params}
      logits, updated = model.apply(
        changed,
        FRAMES[:1],
        FRAMES[1:2],
        train=True,
        method="pair_logits",
        mutable=["batch_stats"],
      )
      return sum(x.sum() for x in jax.tree.leaves(logits)), updated["batch_stats"]

    return jax.grad(loss, has_aux=True)(params)

  grads, updated = gradients(variables["params"])
  kept = jax.tree.map(lambda a, b: (a == b).all(), updated, variables["batch_stats"])
  for path, gradient in flatten_dict(grads, sep="/").items():
    frozen = path.startswith(tuple(f"{prefix}/" for prefix in model.frozen))
    assert frozen == path.startswith(("encoder/resnet/", "encoder/efficientnet/"))
    assert not (frozen and gradient.any()), path
  for path, same in flatten_dict(kept, sep="/").items():
    assert same == path.startswith(("encoder/resnet/", "encoder/efficientnet/")), path
  assert any(x.any() for x in jax.tree.leaves(grads["encoder"]["pyramid"]))


def test_summary_fusion_is_the_mean_of_gated_summaries():
  model, variables = make()
  query, references = FRAMES[:1], FRAMES[1:4]
  deep = call(model, variables, "encode", np.concatenate([query, references])).deep

  def fuse(model, deep):
    read = [model.co_attention.pair(deep[:1], deep[i : i + 1])[0] for i in (1, 2, 3)]
    summary = sum(map(model.co_attention.gate, read)) / 3
    return models.cosnet.upsample(model.head_a(summary, deep[:1]), SIZE)

  expected = jax.nn.sigmoid(call(model, variables, fuse, deep))[0]
  found = segment(model, variables, query, references)
  np.testing.assert_allclose(found, expected, atol=1e-5)


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


def test_without_references_the_saliency_is_returned():
  model, variables = make(num_references=0)
  features = call(model, variables, "encode", FRAMES[:1])
  state = call(model, variables, "init_state", features)
  _, prediction = call(model, variables, "segment", state, features, ACTIVE)
  saliency = call(model, variables, "saliency", FRAMES[:1])
  expected = models.cosnet.upsample(saliency, SIZE)
  np.testing.assert_allclose(prediction.logits[:, 0], expected, atol=1e-6)


def test_a_remembered_frame_replaces_one_reference():
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
  found = call(
    models.with_execution(model, folded=True), folded, "pair", FRAMES[:1], FRAMES[1:2]
  )
  for a, b in zip(found, expected):
    np.testing.assert_allclose(a, b, atol=1e-4)


def test_batch_statistics_of_a_pair_are_separate():
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


def test_the_two_sides_of_a_pair_are_symmetric():
  """Exchanging frames and heads exchanges logits and running statistics."""
  model, variables = make(attention="channelwise")  # a weight that is symmetric

  def exchange(tree):
    return tree | {"head_a": tree["head_b"], "head_b": tree["head_a"]}

  apply = jax.jit(
    functools.partial(
      model.apply, train=True, method="pair_logits", mutable=["batch_stats"]
    )
  )
  a, b = FRAMES[:2], FRAMES[2:4]
  logits, updated = apply(variables, a, b)
  turned = {name: exchange(tree) for name, tree in variables.items()}
  other, other_updated = apply(turned, b, a)
  np.testing.assert_allclose(other.a, logits.b, atol=1e-4)
  np.testing.assert_allclose(other.b, logits.a, atol=1e-4)
  for head, mirrored in (("head_a", "head_b"), ("head_b", "head_a")):
    for leaf in ("mean", "var"):
      x, y, start = (
        tree["batch_stats"][name]["join"]["norm"][leaf]
        for tree, name in (
          (updated, head),
          (other_updated, mirrored),
          (variables, head),
        )
      )
      np.testing.assert_allclose(x, y, atol=1e-4)
      assert np.abs(x - start).max() > 1e-3


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
