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

NUM_METRICS = 64  # at most


def compile_step(config, clip_length):
  """One update of the first stage, compiled for two devices, and its state."""
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
  return step.lower(state, batch).compile(), state


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
        ("rvos:zero_shot", 3),
      )
    ),
  ],
)
def test_no_activations_are_exchanged(name, clip_length, get_config, exchanged):
  config = get_config(name)
  if name == "rvos:zero_shot":  # which has no smoke test
    small = get_config("rvos:smoke")
    config.model.fields.update(small.model.fields.to_dict() | {"one_shot": False})
    stage, *_ = ordered_stages(config).values()
    stage.update(size=(32, 48), clip_length=clip_length)
  program, state = compile_step(config, clip_length)
  assert not exchanged(program, "sent")
  num_params, num_stats = (
    sum(leaf.size for leaf in jax.tree.leaves(tree))
    for tree in (state.params, state.batch_stats)
  )
  # A gradient of each parameter, and mean and variance of norms in each frame.
  most = num_params + 2 * clip_length * num_stats + NUM_METRICS
  assert sum(exchanged(program, "summed")) <= most
