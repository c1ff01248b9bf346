"""Devices that share a batch send each other gradients and statistics, no activations.

Otherwise the work of each device would grow with their number.
"""

import jax
import numpy as np
import pytest

from vosjax.train import run
from vosjax.train.config import ordered_stages
from vosjax.train.recipes import RECIPES
from vosjax.train.state import TrainState
from vosjax.train.step import make_mesh, make_train_step
from vosjax.types import VideoBatch

MAX_SIZE = 64  # of what is sent: costs of the matching of objects


def compile_step(config, clip_length):
  """One update of the first stage, compiled for two devices."""
  stage = next(iter(ordered_stages(config).values()))
  stage.batch_size = 4
  if "unroll_steps" in stage:
    stage.unroll_steps = 1
  model = run.build(config)
  recipe = RECIPES[config.model.name]
  tx = recipe.clipped_optimizer(model, stage)

  def shape(*dims, kind=np.uint8):
    return jax.ShapeDtypeStruct(dims, kind)

  b, (h, w) = stage.batch_size, stage.size
  frames, masks = ((1, h, w, 3), (1, 1, h, w))
  variables = jax.eval_shape(
    model.init,
    jax.random.key(0),
    shape(*frames, kind=np.float32),
    shape(*masks, kind=np.float32),
  )
  state = jax.eval_shape(lambda x: TrainState.create(x, tx, config.seed), variables)
  classes = shape(b, stage.max_instances) if "max_instances" in stage else None
  labels = shape(b, clip_length, h, w)
  batch = VideoBatch(shape(b, clip_length, h, w, 3), labels, classes)
  mesh = make_mesh(b)
  assert mesh.size == 2
  step = make_train_step(recipe.objective(model, stage), tx, mesh)
  return step.lower(state, batch).compile()


@pytest.mark.parametrize(
  ("name", "clip_length"),
  [
    ("agame:smoke", 2),
    *(
      pytest.param(*form, marks=pytest.mark.slow)
      for form in (
        ("agame:smoke", 3),
        ("cosnet:smoke", 1),
        ("cosnet:smoke", 2),
        ("cosnet:released_smoke", 3),
        ("ris:smoke", 1),
        ("rsis:smoke", 1),
        ("rvos:smoke", 3),
      )
    ),
  ],
)
def test_no_activations_are_sent(name, clip_length, get_config, sent):
  sizes = sent(compile_step(get_config(name), clip_length))
  assert max(sizes, default=0) <= MAX_SIZE
