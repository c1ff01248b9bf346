"""The step on one device, on several, and in the form of `jax.pmap`."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from vosjax import models
from vosjax.models.modules.norm import ConvNorm
from vosjax.train.config import agame_stage
from vosjax.train.recipe import Outputs
from vosjax.train.recipes import agame as recipe
from vosjax.train.state import TrainState
from vosjax.train.step import make_mesh, make_train_step, replicate, shard
from vosjax.types import VideoBatch

DEVICES = jax.device_count()
AGAME = {
  "backbone": "resnet18",
  "width": 4,
  "features": 8,
  "fusion_features": 8,
  "frozen_stages": ("stem", "stage1"),
}


class Small(nn.Module):
  """Two layers whose batch statistics are separate for each time step."""

  axis_name: str | None = None

  @nn.compact
  def __call__(self, x, *, train=False, steps=1):
    execution = models.Execution(axis_name=self.axis_name)
    for i, features in enumerate((4, 1)):
      layer = ConvNorm(features, 3, execution=execution, name=f"layer{i}")
      x = nn.tanh(layer(x, train=train, steps=steps))
    return x[..., 0]


def small(axis_name=None):
  model = Small(axis_name)

  def objective(variables, batch, key):
    b, t, h, w = batch.labels.shape
    frames = batch.frames.reshape(b * t, h, w, 3) / 255
    out, updated = model.apply(
      variables, frames, train=True, steps=t, mutable=["batch_stats"]
    )
    loss = jnp.square(out.reshape(b, t, h, w) - batch.labels).mean()
    return loss, Outputs({"loss": loss}, updated["batch_stats"])

  return objective, lambda key: model.init(key, jnp.zeros((1, 32, 32, 3)))


def agame(axis_name=None):
  model = models.build("agame", **AGAME, axis_name=axis_name)
  frames, masks = jnp.zeros((1, 32, 32, 3)), jnp.zeros((1, 1, 32, 32))
  objective = recipe.make_objective(model, agame_stage(clip_length=3, unroll_steps=1))
  return objective, lambda key: model.init(key, frames, masks)


@pytest.fixture(
  scope="module", params=[small, pytest.param(agame, marks=pytest.mark.slow)]
)
def case(request):
  """A model, its variables, and the update that all devices make together."""
  _, init = request.param()
  shapes = jax.eval_shape(init, jax.random.key(0))
  rng = np.random.default_rng(1)

  def fill(path, leaf):
    noise = rng.normal(size=leaf.shape).astype(np.float32)
    kernel = path[-1].key == "kernel"
    return noise / np.sqrt(leaf.size / leaf.shape[-1]) if kernel else 1 + 0.1 * noise

  variables = jax.tree_util.tree_map_with_path(fill, shapes)
  return request.param, variables, updated(request.param, variables, DEVICES)


def make_batch():
  rng = np.random.default_rng(0)
  return {
    "frames": rng.integers(0, 256, (8, 3, 32, 32, 3), np.uint8),
    "labels": (rng.random((8, 3, 32, 32)) < 0.4).astype(np.uint8),
  }


def updated(make, variables, devices):
  mesh = make_mesh(8, jax.devices()[:devices])
  assert mesh.size == devices
  tx = optax.sgd(1.0)  # updates are gradients
  step = make_train_step(make()[0], tx, mesh)
  state = replicate(TrainState.create(variables, tx, 0), mesh)
  return jax.device_get(step(state, shard(make_batch(), mesh)))


def test_one_device_and_several_agree(case):
  make, variables, (state, metrics) = case
  alone, its_metrics = updated(make, variables, 1)
  assert alone.step == state.step == 1
  assert_close(alone.batch_stats, state.batch_stats)
  assert_close(gradients(variables, alone), gradients(variables, state))
  for name, value in metrics.items():
    np.testing.assert_allclose(value, its_metrics[name], rtol=1e-5, err_msg=name)


def test_the_step_equals_pmap_of_the_per_device_step(case):
  make, variables, (state, metrics) = case
  objective, _ = make(axis_name="data")

  @functools.partial(jax.pmap, axis_name="data", in_axes=(None, 0))
  def per_device(variables, batch):
    def loss(params):
      return objective({**variables, "params": params}, batch, None)

    grad = jax.value_and_grad(loss, has_aux=True)
    (value, outputs), grads = grad(variables["params"])
    return jax.lax.pmean((value, grads), "data"), outputs.batch_stats

  parts = VideoBatch(
    **{name: x.reshape(DEVICES, -1, *x.shape[1:]) for name, x in make_batch().items()}
  )
  (loss, grads), stats = jax.device_get(per_device(variables, parts))
  first = functools.partial(jax.tree.map, lambda x: x[0])
  np.testing.assert_allclose(metrics["loss"], loss[0], rtol=1e-5)
  assert_close(state.batch_stats, first(stats))
  assert_close(gradients(variables, state), first(grads))


def test_parts_of_a_batch_add_up_to_it():
  """Without batch statistics, on one device and on several."""
  rng = np.random.default_rng(2)
  variables = {"params": {"w": rng.normal(size=(3, 2)).astype(np.float32)}}

  def objective(variables, batch, key):
    color = batch.frames.astype(jnp.float32).mean((2, 3)) / 255  # [b t 3]
    out = jnp.tanh(color @ variables["params"]["w"])
    loss = jnp.square(out.sum(-1) - batch.labels.mean((2, 3))).mean()
    return loss, Outputs({"loss": loss}, {})

  def update(accumulate, devices):
    mesh = make_mesh(8, jax.devices()[:devices], accumulate=accumulate)
    assert mesh.size == devices
    tx = optax.adam(1e-2)
    step = make_train_step(objective, tx, mesh, accumulate=accumulate)
    state = replicate(TrainState.create(variables, tx, 0), mesh)
    for _ in range(3):
      state, metrics = step(state, shard(make_batch(), mesh))
    return jax.device_get((state, metrics))

  whole, metrics = update(1, 1)
  for accumulate, devices in ((2, 1), (8, 1), (4, DEVICES)):
    state, its_metrics = update(accumulate, devices)
    assert state.step == whole.step == 3
    np.testing.assert_allclose(state.params["w"], whole.params["w"], rtol=1e-5)
    for name, value in metrics.items():
      np.testing.assert_allclose(its_metrics[name], value, rtol=1e-5, err_msg=name)


def test_each_part_has_batch_statistics_and_random_numbers_of_its_own():
  def objective(variables, batch, key):
    mean = batch.labels.astype(jnp.float32).mean()
    stats = {"sum": variables["batch_stats"]["sum"] * 10 + mean}
    loss = variables["params"]["w"] * jax.random.uniform(key)
    return loss, Outputs({"loss": loss}, stats)

  variables = {"params": {"w": jnp.ones(())}, "batch_stats": {"sum": jnp.zeros(())}}
  batch = make_batch()
  batch["labels"] = np.full_like(batch["labels"], np.arange(8)[:, None, None, None] % 2)
  tx, mesh = optax.sgd(1.0), make_mesh(8, jax.devices()[:1], accumulate=2)
  step = make_train_step(objective, tx, mesh, accumulate=2)
  state = replicate(TrainState.create(variables, tx, 0), mesh)
  key = state.step_key()
  state, metrics = step(state, shard(batch, mesh))
  assert state.batch_stats["sum"] == 1  # even clips are 0, odd ones 1: 0 * 10 + 1
  draws = [jax.random.uniform(jax.random.fold_in(key, i)) for i in range(2)]
  np.testing.assert_allclose(metrics["loss"], np.mean(draws), rtol=1e-6)


def test_the_mesh_has_as_many_devices_as_divide_the_batch():
  eight = 8 * jax.devices()[:1]
  sizes = [make_mesh(n, eight).size for n in (1, 2, 4, 6, 8, 12)]
  assert sizes == [1, 2, 4, 6, 8, 6]


def gradients(before, state):
  return jax.tree.map(lambda a, b: a - b, before["params"], state.params)


def assert_close(left, right):
  """Equal up to float error relative to each array's largest value."""
  left, right = (jax.tree_util.tree_leaves_with_path(tree) for tree in (left, right))
  assert [path for path, _ in left] == [path for path, _ in right]
  for (path, a), (_, b) in zip(left, right):
    scale = max(np.abs(a).max(), 1e-3)
    np.testing.assert_allclose(a / scale, b / scale, atol=2e-4, err_msg=str(path))
