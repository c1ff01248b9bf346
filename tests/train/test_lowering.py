"""Training steps lower for accelerators, which need not be here."""

import jax
import numpy as np
import pytest

from vosjax.train import run
from vosjax.train.config import ordered_stages
from vosjax.train.recipes import RECIPES
from vosjax.train.state import TrainState
from vosjax.train.step import make_mesh, make_train_step
from vosjax.types import VideoBatch

# Clip lengths, where steps of several forms take turns.
FORMS = [
  ("agame", 3),
  ("cosnet", 1),
  ("cosnet", 2),
  ("ris", 1),
  ("rsis", 1),
  ("rvos", 3),
]


def lower_step(lower, config, clip_length, dtype):
  """Lowers one update of the first stage, on clips of this length."""
  config.model.fields.dtype = dtype
  stage = next(iter(ordered_stages(config).values()))
  if "unroll_steps" in stage:
    stage.unroll_steps = 1  # as on an accelerator
  model = run.build(config)
  recipe = RECIPES[config.model.name]
  tx = recipe.clipped_optimizer(model, stage)

  def shape(*dims, kind=np.uint8):
    return jax.ShapeDtypeStruct(dims, kind)

  b, (h, w) = stage.batch_size, stage.size
  masks = shape(1, 1, h, w, kind=np.float32)
  variables = jax.eval_shape(
    model.init, jax.random.key(0), shape(1, h, w, 3, kind=np.float32), masks
  )
  state = jax.eval_shape(lambda x: TrainState.create(x, tx, config.seed), variables)
  classes = shape(b, stage.max_instances) if "max_instances" in stage else None
  batch = VideoBatch(
    shape(b, clip_length, h, w, 3), shape(b, clip_length, h, w), classes
  )
  mesh = make_mesh(b, jax.devices()[:1])
  step = make_train_step(recipe.objective(model, stage), tx, mesh)
  new, metrics = lower(step, state, batch)
  assert jax.tree.map(lambda x: x.shape, new) == jax.tree.map(lambda x: x.shape, state)
  assert {"loss", "grad_norm"} <= set(metrics)


@pytest.mark.parametrize(("name", "clip_length"), FORMS)
def test_small_models_in_mixed_precision(lower, get_config, name, clip_length):
  lower_step(lower, get_config(f"{name}:smoke"), clip_length, "bfloat16")


def test_a_small_dilated_network_in_mixed_precision(lower, get_config):
  config = get_config("cosnet:smoke")
  config.model.fields.deep = "dilated"
  lower_step(lower, config, 2, "bfloat16")


@pytest.mark.slow
@pytest.mark.parametrize(("name", "clip_length"), FORMS)
def test_small_models(lower, get_config, name, clip_length):
  lower_step(lower, get_config(f"{name}:smoke"), clip_length, "float32")


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_recipe_of_the_weights_in_the_package(lower, get_config, dtype):
  lower_step(lower, get_config("agame:released"), 3, dtype)
