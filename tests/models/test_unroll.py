"""Clips through the scanned step: what objects, slots and time must not change."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vosjax
from vosjax import models
from vosjax.models.unroll import encode_clip, unroll_features
from vosjax.ops.masks import soft_aggregate
from vosjax.types import Prediction

BATCH, TIME, OBJECTS, SIZE = 2, 3, 3, (32, 48)


@pytest.fixture(scope="module")
def clip():
  """Frames [b t h w 3] and the first frame's masks [b o h w]."""
  rng = np.random.default_rng(1)
  frames = rng.random((BATCH, TIME, *SIZE, 3), dtype=np.float32)
  masks = np.zeros((BATCH, OBJECTS, *SIZE), np.float32)
  for b in range(BATCH):
    for o in range(OBJECTS):
      masks[b, o, 4 + b : 28, 2 + 15 * o : 14 + 15 * o] = 1
  return frames, masks


@functools.partial(jax.jit, static_argnums=0)
def encode(model, variables, frames):
  return encode_clip(model, variables, frames, train=False)[0]


@functools.partial(jax.jit, static_argnums=0, static_argnames="recurrence")
def decode(model, variables, features, masks, active, truth, recurrence):
  return unroll_features(
    model,
    variables,
    features,
    masks,
    active=active,
    recurrence=recurrence,
    truth=truth,
  )


def unroll(model, variables, frames, masks, active=None, truth=None, recurrence=None):
  """`models.unroll`, whose encoder is compiled once for all tests."""
  features = encode(model, variables, frames)
  return decode(model, variables, features, masks, active, truth, recurrence=recurrence)


def assert_close(actual, expected):
  actual, expected = np.asarray(actual), np.asarray(expected)
  assert actual.shape == expected.shape
  np.testing.assert_allclose(
    actual, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max()
  )


def test_the_scan_is_the_protocol_called_by_hand(tiny, clip):
  model, variables = tiny
  frames, masks = clip
  result = jax.jit(functools.partial(models.unroll, model))(variables, frames, masks)
  assert result.predictions.logits.shape == (BATCH, TIME - 1, OBJECTS, *SIZE)

  @functools.partial(jax.jit, static_argnames="method")
  def call(*args, method):
    return model.apply(variables, *args, method=method)

  active = np.ones((BATCH, OBJECTS), bool)
  state = call(call(frames[:, 0], method="encode"), masks, method="init_state")
  for t in range(1, TIME):
    features = call(frames[:, t], method="encode")
    state, prediction = call(state, features, active, method="segment")
    probs = soft_aggregate(prediction.logits, jnp.asarray(active))[:, 1:]
    state = call(state, features, probs, method="update")
    assert_close(result.predictions.logits[:, t - 1], prediction.logits)
    assert_close(result.probs[:, t - 1], probs)
  jax.tree.map(assert_close, result.state, state)
  stats = result.batch_stats, variables["batch_stats"]
  jax.tree.map(np.testing.assert_array_equal, *stats)
  assert float(np.std(result.predictions.logits)) > 1e-3


def test_coarse_predictions_compete_only_where_there_are_several_objects():
  rng = np.random.default_rng(0)
  coarse = jnp.asarray(rng.normal(0, 2, (2, 3, 4, 5)), jnp.float32)
  prediction = Prediction(jnp.zeros((2, 3, 8, 10)), {"coarse_logits": coarse})
  active = jnp.asarray([[True, False, True], [False, True, False]])
  found = models.decide(prediction, active, "coarse_aggregated")
  own = models.decide(prediction, active, "coarse")
  np.testing.assert_allclose(found[0], soft_aggregate(coarse, active)[0, 1:], atol=1e-6)
  np.testing.assert_array_equal(found[1, 1], own[1, 1])
  assert np.abs(found[0] - own[0])[::2].max() > 1e-2


@pytest.mark.parametrize("recurrence", [None, "coarse"])
def test_permuting_objects_permutes_the_results(tiny, clip, recurrence):
  frames, masks = clip
  order = np.array([2, 0, 1])
  plain = unroll(*tiny, frames, masks, recurrence=recurrence)
  turned = unroll(*tiny, frames, masks[:, order], recurrence=recurrence)
  assert_close(turned.predictions.logits, plain.predictions.logits[:, :, order])
  assert_close(turned.probs, plain.probs[:, :, order])
  jax.tree.map(lambda a, b: assert_close(a, b[:, order]), turned.state, plain.state)
  different = plain.predictions.logits[:, :, 0] - plain.predictions.logits[:, :, 1]
  assert np.abs(different).max() > 1e-2


def test_clips_of_a_batch_are_independent(tiny, clip):
  frames, masks = clip
  both = unroll(*tiny, frames, masks)
  swapped = unroll(*tiny, frames[::-1], masks[::-1])
  assert_close(swapped.predictions.logits, both.predictions.logits[::-1])


def test_inactive_slots_change_nothing(tiny, clip):
  """Whatever masks they hold."""
  frames, masks = clip
  expected = unroll(*tiny, frames, masks[:, :2])
  active = np.array([[True, True, False]] * BATCH)
  results = [
    unroll(*tiny, frames, jnp.asarray(m), active)
    for m in (masks, np.concatenate([masks[:, :2], masks[:, :1]], 1))
  ]
  for result in results:
    assert_close(result.predictions.logits[:, :, :2], expected.predictions.logits)
    assert not np.asarray(result.probs)[:, :, 2].any()


def test_results_depend_on_the_past_only(tiny, clip):
  frames, masks = clip
  plain = unroll(*tiny, frames, masks).predictions.logits
  changed = frames.copy()
  changed[:, 2] = 1 - changed[:, 2]
  logits = unroll(*tiny, changed, masks).predictions.logits
  assert_close(logits[:, 0], plain[:, 0])
  assert np.abs(logits[:, 1] - plain[:, 1]).max() > 1e-2
  changed = frames.copy()
  changed[:, 1] = 1 - changed[:, 1]
  logits = unroll(*tiny, changed, masks).predictions.logits
  assert np.abs(logits[:, 1] - plain[:, 1]).max() > 1e-4  # through the state alone


def test_active_may_be_a_list(tiny, clip):
  """As any array may be one that NumPy can make."""
  model, variables = tiny
  active = [[True, False, True]] * BATCH
  result = jax.eval_shape(
    lambda v: models.unroll(model, v, *clip, active=active), variables
  )
  assert result.probs.shape == (BATCH, TIME - 1, OBJECTS, *SIZE)


def test_a_clip_of_one_frame_predicts_nothing(tiny, clip):
  frames, masks = clip
  result = unroll(*tiny, frames[:, :1], masks)
  assert result.predictions.logits.shape == (BATCH, 0, OBJECTS, *SIZE)


@pytest.fixture(scope="module")
def gradients(tiny, clip):
  """Of the logits' sum of squares, in training, by the options of `unroll`."""
  model, variables = tiny

  @functools.cache
  def compute(**options):
    def loss(params):
      result = models.unroll(
        model,
        variables | {"params": params},
        clip[0],
        jnp.asarray(clip[1]),
        recurrence="coarse",
        train=True,
        **options,
      )
      return jnp.square(result.predictions.logits).mean(), result.batch_stats

    return jax.jit(jax.grad(loss, has_aux=True))(variables["params"])

  return compute


@pytest.mark.slow  # compiles the gradient twice
def test_remat_and_unrolling_change_no_gradient(gradients):
  expected, stats = gradients()
  found, found_stats = gradients(remat=True, unroll_steps=2)
  largest = max(np.abs(leaf).max() for leaf in jax.tree.leaves(expected))
  for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected)):
    np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5 * largest)
  jax.tree.map(assert_close, found_stats, stats)


def test_gradients_reach_every_module_but_the_frozen_stages(tiny, gradients):
  grads, _ = gradients()
  for name, tree in grads.items():
    if name != "backbone":
      assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(tree)), name
  for stage, tree in grads["backbone"].items():
    zero = all(not np.asarray(leaf).any() for leaf in jax.tree.leaves(tree))
    assert zero == (stage in tiny[0].frozen_stages), stage


def test_training_updates_the_batch_statistics_of_trained_stages(tiny, clip, gradients):
  """One update per time step, frame 0 included; frozen stages stay."""
  model, variables = tiny
  _, after = gradients()
  backbone = variables["batch_stats"]["backbone"]
  for stage, tree in after["backbone"].items():
    same = jax.tree.map(np.array_equal, tree, backbone[stage])
    if stage in model.frozen_stages:
      assert all(jax.tree.leaves(same)), stage
    else:
      assert not any(jax.tree.leaves(same)), stage


def test_batch_statistics_are_those_of_frames_one_by_one(tiny, clip):
  """A clip encoded at once equals its frames encoded in turn."""
  model, variables = tiny
  frames, _ = clip
  _, at_once = jax.jit(functools.partial(encode_clip, model, train=True))(
    variables, frames
  )

  @jax.jit
  def encode(batch_stats, frame):
    return model.apply(
      variables | {"batch_stats": batch_stats},
      frame,
      train=True,
      method="encode",
      mutable=["batch_stats"],
    )[1]["batch_stats"]

  stats = variables["batch_stats"]
  for t in range(TIME):
    stats = encode(stats, frames[:, t])
  jax.tree.map(assert_close, at_once, stats)


def test_features_of_output_stride_8_have_twice_the_rows_and_columns(tiny, clip):
  model, variables = tiny
  frames, masks = clip
  fine = model.clone(output_stride=8)
  features = jax.eval_shape(
    lambda: fine.apply(variables, frames[:, 0, :24], method="encode")
  )
  assert features.deep.shape[1:3] == features.appearance.shape[1:3] == (3, 6)
  result = unroll(fine, variables, frames, masks)
  assert result.predictions.aux["coarse_logits"].shape[-2:] == (4, 6)
  assert result.predictions.logits.shape[-2:] == SIZE
  with pytest.raises(ValueError, match="28x48; both sides must be multiples of 8"):
    fine.apply(variables, frames[:, 0, :28], method="encode")


STREAMED = {
  "agame": {"backbone": "resnet18", "width": 4, "features": 8, "fusion_features": 8},
  "cosnet": {
    "backbone": "resnet18",
    "width": 4,
    "features": 8,
    "branch_features": 8,
    "size": None,
    "num_references": 2,
  },
  "ris": {"channels": 2, "num_objects": 2, "threshold": 0.1},
  "rsis": {
    "backbone": "resnet18",
    "width": 4,
    "features": 16,
    "num_objects": 2,
    "skip_stops": True,
  },
  "rvos": {"backbone": "resnet18", "width": 4, "features": 8, "one_shot": True},
}


def draw_variables(model):
  """Random variables with which features neither vanish nor explode."""
  rng = np.random.default_rng(0)
  shapes = jax.eval_shape(
    model.init, jax.random.key(0), np.zeros((1, *SIZE, 3)), np.zeros((1, 2, *SIZE))
  )

  def make(path, leaf):
    x = rng.normal(0, 1, leaf.shape).astype(np.float32)
    if path[-1].key in ("var", "scale"):
      return 1 + 0.3 * np.abs(x)
    fan_in = np.prod(leaf.shape[:-1]) if len(leaf.shape) > 1 else 9
    return x * np.float32(fan_in) ** -0.5

  return jax.tree_util.tree_map_with_path(make, shapes)


@pytest.mark.parametrize("name", STREAMED)
def test_unrolling_a_clip_equals_streaming_its_frames(name):
  """Every model, four frames, so that COSNet replaces references."""
  model = models.build(name, **STREAMED[name])
  variables = draw_variables(model)
  if name == "rsis":  # objects everywhere, so that there is something to compare
    variables["params"]["decoder"]["head"]["bias"] += 3
    variables["params"]["stop"]["bias"] += 3
  rng = np.random.default_rng(2)
  frames = rng.integers(0, 256, (4, *SIZE, 3), dtype=np.uint8)
  labels = np.zeros(SIZE, np.uint8)
  labels[4:20, 4:20], labels[12:, 24:] = 1, 2
  one_shot = model.readout.one_shot
  masks = (labels == np.arange(1, 3)[:, None, None]).astype(np.float32)[None]
  clip = unroll(
    model, variables, frames[None] / np.float32(255), masks if one_shot else None
  )
  policy = {"reference_policy": "consecutive"} if name == "cosnet" else {}
  segmenter = vosjax.VideoSegmenter(model, variables, **policy)
  results = [segmenter.start(frames[0], labels if one_shot else None)]
  results += [segmenter.step(frame) for frame in frames[1:]]
  probs = clip.probs[0]
  assert len(probs) == len(results) - one_shot
  compared = 0
  for found, expected in zip(results[::-1], probs[::-1]):
    slots = [i - 1 for i in found.object_ids]
    np.testing.assert_allclose(found.probs, expected[np.array(slots, int)], atol=1e-4)
    compared += len(slots)
  assert compared > 0


def test_references_of_cosnet_are_the_latest_frames():
  """Frame t takes the place of the oldest: number t modulo 2."""
  model = models.build("cosnet", **STREAMED["cosnet"])
  variables = draw_variables(model)
  frames = np.random.default_rng(3).random((1, 4, *SIZE, 3), dtype=np.float32)
  deep = np.asarray(encode(model, variables, frames).deep)
  references = unroll(model, variables, frames, None).state.references
  assert_close(references, np.stack([deep[2], deep[3]], axis=1))
  assert np.abs(deep[1] - deep[2]).max() > 0.1 * np.abs(deep).max()


def test_frames_of_ris_are_independent(clip):
  model = models.build("ris", **STREAMED["ris"])
  frames, _ = clip
  variables = draw_variables(model)
  logits = unroll(model, variables, frames, None).predictions.logits
  turned = unroll(model, variables, frames[:, ::-1], None).predictions.logits
  assert logits.shape == (BATCH, TIME, 2, *SIZE)
  assert_close(turned[:, ::-1], logits)
  assert_close(
    unroll(model, variables, frames[:, :1], None).predictions.logits, logits[:, :1]
  )


def test_true_masks_replace_predictions(tiny, clip):
  """Teacher forcing with the predicted masks changes nothing, with others it does."""
  frames, masks = clip
  free = unroll(*tiny, frames, masks, recurrence="fine")
  truth = jnp.concatenate([masks[:, None], free.probs], axis=1)
  forced = unroll(*tiny, frames, masks, truth=truth)
  assert_close(forced.predictions.logits, free.predictions.logits)
  other = unroll(*tiny, frames, masks, truth=truth.at[:, 1].set(0))
  gaps = jnp.abs(other.predictions.logits - free.predictions.logits).max((0, 2, 3, 4))
  assert gaps[0] < 1e-5 < 1e-3 < gaps[1]


FRAMES, MASKS = np.zeros((1, 3, *SIZE, 3), np.float32), np.zeros((1, 2, *SIZE))
MASKS = MASKS.astype(np.float32)
TRUTH = np.zeros((1, 3, 2, *SIZE), np.float32)


@pytest.mark.parametrize(
  ("name", "arguments", "message"),
  [
    ("agame", {"masks": None}, "AGame is one-shot, but masks is None"),
    ("cosnet", {}, "masks is given, but COSNet is zero-shot"),
    ("rsis", {"masks": None, "truth": TRUTH}, "truth is given, but RSIS is zero-shot"),
    ("agame", {"frames": np.zeros((1, 3, *SIZE, 3), np.uint8)}, "not uint8. Divide"),
    ("agame", {"frames": FRAMES[0]}, r"frames has shape \[3, 32, 48, 3\]; expected"),
    ("agame", {"frames": FRAMES[..., :2]}, r"frames has .*\[b, t, h, w, 3\]"),
    ("agame", {"frames": FRAMES[:, :0]}, "hold no frame"),
    ("agame", {"frames": FRAMES[:0], "masks": MASKS[:0]}, r"hold no clip \(b = 0\)"),
    ("ris", {"frames": FRAMES[:, :, :, :0], "masks": None}, r"no pixels \(32x0\)"),
    ("rvos", {"masks": MASKS[:, :0]}, r"masks hold no object \(o = 0\)"),
    (
      "rsis",
      {"masks": None, "active": np.ones((1, 0), bool)},
      r"active has no slot \(o = 0\)",
    ),
    (
      "agame",
      {"masks": MASKS[0]},
      r"masks has .*\[b o h w\] = \[1, o, 32, 48\]",
    ),
    (
      "agame",
      {"masks": np.concatenate([MASKS, MASKS])},
      r"masks has shape \[2, 2, 32, 48\]; expected \[b o h w\] = \[1, o, 32, 48\]",
    ),
    ("agame", {"masks": MASKS > 0}, "masks must be floating-point.*not bool"),
    ("agame", {"active": np.ones((1, 3), bool)}, r"active is bool \[1, 3\].*\[1, 2\]"),
    ("agame", {"active": np.ones((1, 2))}, r"active is float64"),
    ("agame", {"recurrence": "agregated"}, "is 'agregated'; known: .*'aggregated'"),
    ("rvos", {"recurrence": "coarse"}, "the model makes no coarse prediction"),
    ("agame", {"active": [[1, 0]]}, r"active is int64 \[1, 2\]; expected bool"),
    ("agame", {"active": [[True]]}, r"active is bool \[1, 1\]; .* = \[1, 2\]"),
    (
      "rvos-zero-shot",
      {"masks": None, "active": np.ones((1, 2), bool)},
      r"active is bool \[1, 2\]; expected bool \[b o\] = \[1, 3\]",
    ),
    *(
      (name, {"masks": None, "recurrence": "aggregated"}, "is zero-shot, and its state")
      for name in ("cosnet", "ris", "rsis", "rvos-zero-shot")
    ),
    ("agame", {"truth": TRUTH[:, :, :1]}, r"truth has .*= \[1, 3, 2, 32, 48\]"),
    ("agame", {"truth": MASKS}, r"truth has .*= \[1, 3, 2, 32, 48\]"),
    (
      "agame",
      {"truth": TRUTH, "recurrence": "fine"},
      "truth is given beside recurrence='fine'",
    ),
    ("agame", {"segment_first": True}, "AGame has no state before the first frame"),
    ("ris", {"masks": None, "segment_first": True}, "segments the first frame in any"),
  ],
)
def test_bad_arguments_are_refused_while_tracing(name, arguments, message):
  fields = STREAMED[name.removesuffix("-zero-shot")]
  if name == "rvos-zero-shot":
    name, fields = "rvos", fields | {"one_shot": False, "num_objects": 3}
  model = models.build(name, **fields)
  variables = jax.eval_shape(model.init, jax.random.key(0), FRAMES[:, 0], MASKS)
  arguments = {"frames": FRAMES, "masks": MASKS} | arguments
  with pytest.raises(ValueError, match=message):
    jax.eval_shape(lambda v: models.unroll(model, v, **arguments), variables)
