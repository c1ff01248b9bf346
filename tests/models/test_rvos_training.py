"""Training clips of RVOS: losses, matching and gradients of the official program.

The encoder's gradient is compiled separately, so that all cases share it.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from ml_collections import ConfigDict

from vosjax.models.rvos import RVOSFeatures
from vosjax.models.unroll import unroll_features
from vosjax.train.recipes.rvos import make_optimizer, previous_masks
from vosjax.train.recipes.rvos_loss import clip_losses


def gap(actual, expected):
  """Largest difference as a fraction of the largest expected magnitude."""
  actual, expected = np.asarray(actual), np.asarray(expected)
  assert actual.shape == expected.shape
  return np.abs(actual - expected).max() / np.abs(expected).max()


def module(name, params):
  """Our parameters of an official module."""
  side, *rest = name.split(".")
  tree = params[side]
  if side == "decoder":
    return tree["head"] if rest == ["conv_out"] else tree[f"cells_{rest[1]}"]
  if rest[0] == "base":
    stem = {"conv1": "conv", "bn1": "norm"}
    if rest[1] in stem:
      return tree["backbone"]["stem"][stem[rest[1]]]
    return tree["backbone"][rest[1].replace("layer", "stage")]
  kind = {"sk": "conv", "bn": "norm"}[rest[0][:2]]
  return tree[f"skips_{5 - int(rest[0][2])}"][kind]


@pytest.fixture(scope="module")
def encoder(official, golden):
  """Skip connections of the golden clips, their pull-back and batch statistics."""
  model, variables = official("rvos")
  frames, *same = (
    golden(f"rvos/golden_train_{name}.npz")["frames"]
    for name in ("zeroshot", "oneshot_gt", "oneshot_inferred")
  )
  for others in same:
    np.testing.assert_array_equal(others, frames)
  b, t = frames.shape[:2]
  images = jnp.asarray(frames.reshape(b * t, *frames.shape[2:]) / np.float32(255))

  def run(train):
    def skips(params):
      return model.apply(
        {"params": params, "batch_stats": variables["batch_stats"]},
        images,
        method=lambda model, x: model.encoder(x, train=train, steps=t),
        mutable=["batch_stats"] if train else [],
      )

    params = {"encoder": variables["params"]["encoder"]}
    return jax.jit(lambda params: jax.vjp(skips, params, has_aux=True))(params)

  return functools.cache(run)


CASES = {
  "zeroshot": ("zeroshot", {}, "truth"),
  "zeroshot_t": ("zeroshot", {"spatial": False}, "truth"),
  "oneshot_gt": ("oneshot_gt", {"one_shot": True}, "truth"),
  "oneshot_inferred": ("oneshot_inferred", {"one_shot": True}, "inferred"),
}


def check(case, prefix, fields, previous, official, encoder, train):
  one_shot = "one_shot" in fields
  model, variables = official("rvos", one_shot=one_shot)
  model = model.clone(num_objects=4, **fields)
  ids = case["ids"]
  truth = ids[:, :, None] == np.arange(1, 5)[:, None, None]
  truth, valid = jnp.asarray(truth, jnp.float32), jnp.asarray(case["sw"] > 0)
  skips, pull, stats = encoder(train)

  @jax.jit
  def compute(decoder, skips):
    def loss(decoder, skips):
      params = variables["params"] | {"decoder": decoder}
      levels = model.apply(
        {"params": params}, skips, method=lambda model, x: model.decoder.encode(x)
      )
      b, t, h, w = ids.shape
      by_time = jax.tree.map(
        lambda x: jnp.swapaxes(x.reshape(b, t, *x.shape[1:]), 0, 1), levels
      )
      clip = unroll_features(
        model,
        {"params": params},
        RVOSFeatures(by_time, (h, w)),
        **previous_masks(model, truth, previous),
      )
      probs = jax.nn.sigmoid(clip.predictions.logits)
      counts = jnp.broadcast_to(valid[:, None], (*ids.shape[:2], valid.shape[1]))
      losses, objects = clip_losses(probs, truth, counts, matched=not one_shot)
      return losses.sum(), (losses, objects, probs)

    return jax.value_and_grad(loss, (0, 1), has_aux=True)(decoder, skips)

  (loss, (losses, objects, probs)), grads = compute(
    variables["params"]["decoder"], skips
  )
  np.testing.assert_allclose(losses, case[f"{prefix}loss_frame"], rtol=1e-5)
  np.testing.assert_allclose(loss, case[f"{prefix}loss_cumulative"][-1], rtol=1e-5)
  assert gap(probs.mean((3, 4)), case[f"{prefix}mean_prob"]) < 1e-5
  if not one_shot:
    expected = case[f"{prefix}permutation"]
    known = expected >= 0
    np.testing.assert_array_equal(np.asarray(objects)[known], expected[known])
  params = {"decoder": grads[0]} | jax.jit(lambda f, x: f(x))(pull, grads[1])[0]
  norms = [optax.tree.norm(module(name, params)) for name in case["grad_modules"]]
  np.testing.assert_allclose(norms, case[f"{prefix}grad_norms"], rtol=1e-3)
  return stats, params, variables["params"], model


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_running_statistics(official, golden, encoder, name):
  """BatchNorm as in inference."""
  file, fields, previous = CASES[name]
  case = golden(f"rvos/golden_train_{file}.npz")
  prefix = "tonly_frozenbn_" if "spatial" in fields else "frozenbn_"
  check(case, prefix, fields, previous, official, encoder, train=False)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in CASES if name != "zeroshot_t"])
def test_batch_statistics(official, golden, encoder, name):
  """BatchNorm as in training, and the running statistics after the clip."""
  file, fields, previous = CASES[name]
  case = golden(f"rvos/golden_train_{file}.npz")
  updated, grads, params, model = check(
    case, "", fields, previous, official, encoder, train=True
  )
  stats = updated["batch_stats"]["encoder"]
  stem = stats["backbone"]["stem"]["norm"]
  assert gap(stem["mean"], case["bn1_running_mean_after"]) < 5e-6
  assert gap(stem["var"], case["bn1_running_var_after"]) < 5e-6
  coarse = stats["skips_0"]["norm"]["mean"]
  assert gap(coarse, case["bn5_running_mean_after"]) < 5e-6
  check_step(case, model, params, grads)


def check_step(case, model, params, grads):
  """Size of each module's update in a step of both Adams, with repeated updates."""
  stage = ConfigDict(
    {
      "learning_rate": 1e-3,
      "encoder_learning_rate": 1e-6,
      "weight_decay": 1e-6,
      "lr_decay": 1.0,
      "steps_per_epoch": 1,
      "official": True,
    }
  )
  tx = make_optimizer(model, stage)
  grads = {side: grads[side] for side in params}
  updates = jax.jit(lambda p, g: tx.update(g, tx.init(p), p)[0])(params, grads)
  moved = [optax.tree.norm(module(name, updates)) for name in case["grad_modules"]]
  # Adam makes a full step of the tiniest gradient, whose sign is chance.
  np.testing.assert_allclose(moved, case["delta_norms"], rtol=2e-2)
