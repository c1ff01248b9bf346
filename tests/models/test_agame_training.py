"""A training step of A-GAME: losses, gradients and statistics of the program."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict
from ml_collections import ConfigDict

from vosjax import convert, models
from vosjax.convert import rules
from vosjax.ops import resize
from vosjax.train.config import agame_stage
from vosjax.train.optimizers.adam import make_optimizer
from vosjax.train.recipes import agame as recipe
from vosjax.types import VideoBatch


def gap(actual, expected):
  """Largest difference as a fraction of the largest expected magnitude."""
  actual, expected = np.asarray(actual), np.asarray(expected)
  assert actual.shape == expected.shape
  return np.abs(actual - expected).max() / np.abs(expected).max()


@pytest.fixture(scope="module")
def agame(official):
  return official("agame")


@pytest.fixture(scope="module")
def case(golden):
  return golden("agame/golden_train.npz")


@pytest.fixture(scope="module")
def ours():
  """Path and layout of an official tensor, after its collection."""
  table = tuple(rules._expand(convert.TABLES["agame"]))

  def find(name):
    pattern, path, layout = next(r for r in table if r[0].fullmatch(name))
    path = pattern.fullmatch(name).expand(path)
    return path.partition("/")[2], layout

  return find


@pytest.fixture(scope="module")
def gradients(agame, case):
  """Loss, outputs and gradients for given weights of the losses; compiled once."""
  model, variables = agame
  batch = VideoBatch(jnp.asarray(case["frames"]), jnp.asarray(case["labels"]))

  @jax.jit
  def compute(params, losses):
    stage = agame_stage(clip_length=batch.frames.shape[1], unroll_steps=1)
    stage.losses = ConfigDict(losses)  # which are traced
    objective = recipe.make_objective(model, stage)

    def loss(params):
      return objective(variables | {"params": params}, batch, None)

    return jax.value_and_grad(loss, has_aux=True)(params)

  @functools.lru_cache(maxsize=1)  # they take as much memory as the weights
  def of_stage(stage):
    coarse = 1.0 if stage == "alpha" else 0.0
    return compute(variables["params"], {"final": 1.0, "coarse": coarse})

  return of_stage


@pytest.mark.parametrize("stage", ["beta", "alpha"])
def test_losses_and_norms(agame, case, gradients, ours, stage):
  model, _ = agame
  (loss, outputs), grads = gradients(stage)
  names = ("final_loss", "coarse_loss", "loss")
  names = names if stage == "alpha" else ("final_loss", "loss")
  losses = [outputs.metrics[name] for name in names]
  np.testing.assert_allclose(losses, case[f"{stage}_losses"], rtol=2e-6)
  assert float(loss) == float(outputs.metrics["loss"])
  np.testing.assert_allclose(outputs.metrics["iou"], case[f"{stage}_miou"], rtol=1e-5)

  groups = (
    grads["backbone"]["stage4"],
    (grads["reduce"], grads["appearance"]),
    grads["propagation"],
    (grads["fusion"], grads["coarse_head"]),
    grads["refinement"],
  )
  norms = [optax.tree.norm(group) for group in groups]
  np.testing.assert_allclose(norms, case[f"{stage}_grad_l2_modules"], rtol=1e-5)
  for frozen in model.frozen:
    assert optax.tree.norm(grads["backbone"][frozen.split("/")[1]]) == 0

  flat = flatten_dict(grads, sep="/")
  names = case["grad_names"].tolist()
  norms = [np.linalg.norm(np.asarray(flat[ours(n)[0]], np.float64)) for n in names]
  assert gap(norms, case[f"{stage}_grad_l2_params"]) < 2e-6
  frozen = [path for path in flat if path.startswith(model.frozen)]
  assert len(names) == len(flat) - len(frozen)


def test_running_statistics(case, gradients, ours):
  """After one update in each of the clip's four time steps."""
  (_, outputs), _ = gradients("alpha")
  flat = flatten_dict(outputs.batch_stats, sep="/")
  checked = 0
  for name, expected in case.items():
    name = name.removeprefix("alpha_after::")
    if name.endswith(("running_mean", "running_var")):
      assert gap(flat[ours(name)[0]], expected) < 5e-6
      checked += 1
  assert checked == 4


def test_gradients(case, gradients, ours):
  """Single entries move when one ReLU changes its sign, hence the tolerance."""
  flat = flatten_dict(gradients("alpha")[1], sep="/")
  checked = 0
  for name, expected in case.items():
    if name.startswith("alpha_grad::"):
      path, layout = ours(name.removeprefix("alpha_grad::"))
      assert (
        gap(flat[path], rules._rearrange(expected, layout, flat[path].shape)) < 5e-3
      )
      checked += 1
  assert checked == 10


def test_adam_step(agame, case, ours):
  """Coupled weight decay, one step; entries with tiny gradients are ill-conditioned."""
  params = flatten_dict(agame[1]["params"], sep="/")

  def stored(kind):
    found = {}
    for name in case:
      if name.startswith(f"alpha_{kind}::"):
        path, layout = ours(name.partition("::")[2])
        found[path] = rules._rearrange(case[name], layout, params[path].shape)
    return found

  grads, steps = stored("grad"), stored("step")
  grads = unflatten_dict(grads, sep="/")
  params = unflatten_dict({path: params[path] for path in stored("grad")}, sep="/")
  tx = make_optimizer(
    learning_rate=1e-4, lr_decay=0.975, steps_per_epoch=1, weight_decay=1e-5
  )
  updates, _ = tx.update(grads, tx.init(params), params)
  updates = flatten_dict(updates, sep="/")
  assert len(steps) == 9
  for path, expected in steps.items():
    assert gap(updates[path], expected) < 1e-2, path


@pytest.mark.slow
def test_predictions(agame, case):
  """In training both stages begin with the same forward pass."""
  model, variables = agame
  masks = jnp.asarray(case["labels"][:, :1] == 1, jnp.float32)
  clip = jax.jit(
    lambda *args: models.unroll(model, *args, recurrence="coarse", train=True)
  )(variables, jnp.asarray(case["frames"] / np.float32(255)), masks)
  probs = jax.nn.log_sigmoid(clip.predictions.logits[:, :, 0, ::4, ::4])
  for stage in ("alpha", "beta"):
    assert gap(probs, case[f"{stage}_logsegs_fg_sub"][:, 1:]) < 1e-5
  coarse = jax.nn.log_sigmoid(clip.predictions.aux["coarse_logits"][:, :, 0])
  b, t, h, w = coarse.shape
  found = resize.bilinear(coarse.reshape(b * t, h, w, 1), case["labels"].shape[2:])
  found = found.reshape(b, t, *found.shape[1:3])[:, :, ::4, ::4]
  assert gap(found, case["alpha_coarse_logsegs_fg_sub"][:, 1:]) < 1e-5
