"""Repeated updates of RVOS's and RSIS's backbones, as in the released programs."""

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import optax
from ml_collections import ConfigDict

from vosjax import models
from vosjax.train.recipes.official.two_adams import repeated_two_adams
from vosjax.train.recipes.rsis import RECIPE as RSIS
from vosjax.train.recipes.rvos import RECIPE as RVOS

# Module of the official network -> ours.
MODULES = {
  "encoder.base.conv1": "encoder/backbone/stem/conv",
  "encoder.base.bn1": "encoder/backbone/stem/norm",
  "encoder.base.layer1": "encoder/backbone/stage1",
  "encoder.sk5": "encoder/skips_0/conv",
  "decoder.clstm_list.3": "decoder/cells_3",
}


def make_stage(**changes):
  stage = {
    "learning_rate": 1e-3,
    "encoder_learning_rate": 1e-6,
    "lr_decay": 1.0,
    "steps_per_epoch": 1,
    "weight_decay": 1e-6,
    "official": True,
    "max_grad_norm": 0.0,
    "reference_batch_size": 0,
  }
  return ConfigDict(stage | changes)


def unflatten(flat):
  return flax.traverse_util.unflatten_dict(flat, sep="/")


def flatten(tree):
  return flax.traverse_util.flatten_dict(tree, sep="/")


def test_a_step_moves_each_module_as_far_as_the_released_program(golden):
  """Adam's first step is the rate for each weight, whatever the gradient."""
  model = models.build("rvos", num_objects=1)
  frames, masks = (
    jax.ShapeDtypeStruct(s, jnp.float32) for s in ((1, 32, 32, 3), (1, 1, 32, 32))
  )
  shapes = jax.eval_shape(model.init, jax.random.key(0), frames, masks)["params"]
  prefixes = tuple(f"{path}/" for path in MODULES.values())
  shapes = {p: x.shape for p, x in flatten(shapes).items() if p.startswith(prefixes)}
  rng = np.random.default_rng(0)
  params = {path: np.zeros(shape, np.float32) for path, shape in shapes.items()}
  grads = {
    path: rng.choice(np.float32([-1e-2, 1e-2]), shape) for path, shape in shapes.items()
  }
  tx = repeated_two_adams(model, make_stage())
  params, grads = unflatten(params), unflatten(grads)
  updates = flatten(jax.jit(tx.update)(grads, tx.init(params), params)[0])
  case = golden("rvos/golden_train_zeroshot.npz")
  expected = dict(zip(case["grad_modules"].tolist(), case["delta_norms"], strict=True))
  for name, path in MODULES.items():
    parts = [x for key, x in updates.items() if key.startswith(f"{path}/")]
    np.testing.assert_allclose(optax.tree.norm(parts), expected[name], rtol=0.02)


def test_repeated_updates_are_updates_one_after_another():
  """Also through the recipes of both models, which leave it out unless official."""
  times = {
    "encoder/backbone/stem/conv/kernel": 1,
    "encoder/backbone/stage1/block0/conv1/conv/kernel": 3,
    "encoder/backbone/stage2/block0/shortcut/conv/kernel": 4,
    "decoder/head/kernel": 1,
  }
  rng = np.random.default_rng(0)
  start = {path: jnp.asarray(rng.normal(size=3), jnp.float32) for path in times}
  grads = [
    {p: jnp.asarray(rng.normal(size=3), jnp.float32) for p in times} for _ in range(2)
  ]
  model = models.build("rvos")
  for recipe, official in ((RVOS, True), (RSIS, True), (RVOS, False), (RSIS, False)):
    stage = make_stage(encoder_learning_rate=1e-2, weight_decay=0.1, official=official)
    tx = recipe.clipped_optimizer(model, stage)
    params = unflatten(start)
    state = tx.init(params)
    for grad in grads:
      updates, state = tx.update(unflatten(grad), state, params)
      params = optax.apply_updates(params, updates)
    for path, found in flatten(params).items():
      rate = 1e-2 if path.startswith("encoder/backbone") else 1e-3
      count = times[path] if official else 1
      repeated = [grad[path] for grad in grads for _ in range(count)]
      expected = torch_adam(start[path], repeated, rate, 0.1)
      np.testing.assert_allclose(found, expected, rtol=1e-5, err_msg=path)


def torch_adam(w, grads, rate, weight_decay):
  """torch.optim.Adam with its coupled weight decay, in float64."""
  w = np.asarray(w, np.float64)
  m, v = np.zeros_like(w), np.zeros_like(w)
  for t, grad in enumerate(grads, start=1):
    g = np.asarray(grad, np.float64) + weight_decay * w
    m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
    w = w - rate * m / (1 - 0.9**t) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
  return w
