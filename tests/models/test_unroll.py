"""A clip through the scanned step: what objects, slots and time may not change."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vosjax import models
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


@functools.partial(
  jax.jit,
  static_argnums=0,
  static_argnames=("recurrence", "train", "remat", "unroll_steps"),
)
def unroll(model, variables, frames, masks, active=None, **options):
  return models.unroll(model, variables, frames, masks, active=active, **options)


def assert_close(actual, expected):
  actual, expected = np.asarray(actual), np.asarray(expected)
  assert actual.shape == expected.shape
  np.testing.assert_allclose(
    actual, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max()
  )


def test_the_scan_is_the_protocol_called_by_hand(tiny, clip):
  model, variables = tiny
  frames, masks = clip
  result = unroll(model, variables, frames, masks)
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


@pytest.mark.parametrize("recurrence", ["aggregated", "coarse"])
def test_objects_in_another_order_give_the_same_in_that_order(tiny, clip, recurrence):
  frames, masks = clip
  order = np.array([2, 0, 1])
  plain = unroll(*tiny, frames, masks, recurrence=recurrence)
  turned = unroll(*tiny, frames, masks[:, order], recurrence=recurrence)
  assert_close(turned.predictions.logits, plain.predictions.logits[:, :, order])
  assert_close(turned.probs, plain.probs[:, :, order])
  jax.tree.map(lambda a, b: assert_close(a, b[:, order]), turned.state, plain.state)
  different = plain.predictions.logits[:, :, 0] - plain.predictions.logits[:, :, 1]
  assert np.abs(different).max() > 1e-2


def test_clips_of_a_batch_do_not_meet(tiny, clip):
  frames, masks = clip
  both = unroll(*tiny, frames, masks)
  swapped = unroll(*tiny, frames[::-1], masks[::-1])
  assert_close(swapped.predictions.logits, both.predictions.logits[::-1])


def test_inactive_slots_change_nothing(tiny, clip):
  """Whatever lies in them."""
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


def test_the_past_decides_the_future_and_not_the_reverse(tiny, clip):
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


def test_batch_statistics_move_in_training_only(tiny, clip, gradients):
  """One update per time step, frame 0 included; frozen stages stay."""
  model, variables = tiny
  before = variables["batch_stats"]
  still = unroll(model, variables, *clip).batch_stats
  jax.tree.map(np.testing.assert_array_equal, still, before)
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
  frames, masks = clip
  at_once = unroll(model, variables, frames, masks, train=True)

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
  jax.tree.map(assert_close, at_once.batch_stats, stats)


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
