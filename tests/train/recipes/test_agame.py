"""A-GAME's recipe: what a stage says about batch statistics."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vosjax import models
from vosjax.train.configs.agame import get_config
from vosjax.train.recipes import agame
from vosjax.types import VideoBatch

SIZE = (32, 48)


@pytest.fixture(scope="module")
def trainee():
  """A smoke stage, its model, and variables as after a while of training."""
  config = get_config("smoke")
  model = models.build("agame", **config.model.fields.to_dict())
  frames, masks = jnp.zeros((1, *SIZE, 3)), jnp.zeros((1, 1, *SIZE))
  variables = jax.jit(model.init)(jax.random.key(0), frames, masks)
  stats = jax.tree.map(lambda x: x + 0.1, variables["batch_stats"])
  return config.stages.main, model, {**variables, "batch_stats": stats}


@pytest.fixture(scope="module")
def clips():
  """Two clips, one of them dark: statistics that they share change both."""
  rng = np.random.default_rng(0)
  frames = rng.integers(0, 256, (2, 2, *SIZE, 3), np.uint8)
  frames[1] //= 4
  labels = np.zeros((2, 2, *SIZE), np.uint8)
  labels[:, :, 8:20, 8:30] = 1
  return VideoBatch(jnp.asarray(frames), jnp.asarray(labels))


def outcomes(trainee, clips, frozen):
  """Loss, statistics and gradients of both clips, then of each one, twice."""
  stage, model, variables = trainee
  stage = stage.copy_and_resolve_references()
  stage.update(frozen_batch_stats=frozen, clip_length=2)
  objective = agame.RECIPE.objective(model, stage)

  def loss(params, batch):
    return objective({**variables, "params": params}, batch, None)

  grad = jax.jit(jax.value_and_grad(loss, has_aux=True))
  for rows in ([0, 1], [0, 0], [1, 1]):
    batch = jax.tree.map(lambda x, rows=rows: x[np.array(rows)], clips)
    (value, outputs), grads = jax.device_get(grad(variables["params"], batch))
    yield value, outputs.batch_stats, grads["backbone"]["stem"]["norm"]["scale"]


def test_frozen_statistics_stay_and_clips_are_apart(trainee, clips):
  losses, stats, scales = zip(*outcomes(trainee, clips, True))
  for after in stats:
    jax.tree.map(np.testing.assert_array_equal, after, trainee[2]["batch_stats"])
  assert losses[0] == pytest.approx(np.mean(losses[1:]), rel=1e-4)
  largest = np.abs(scales[0]).max()
  assert largest > 0  # the layers themselves are trained
  np.testing.assert_allclose(scales[0], np.mean(scales[1:], 0), atol=1e-3 * largest)


def test_otherwise_statistics_are_those_of_the_batch(trainee, clips):
  losses, stats, _ = zip(*outcomes(trainee, clips, False))
  before = trainee[2]["batch_stats"]
  moved = jax.tree.map(lambda a, b: np.abs(a - b).max(), stats[0], before)
  assert min(jax.tree.leaves(moved)) > 1e-4
  assert abs(losses[0] - np.mean(losses[1:])) > 1e-3 * losses[0]
