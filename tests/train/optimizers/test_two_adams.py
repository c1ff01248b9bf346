"""The two Adams of RVOS and RSIS, and their repeated updates."""

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from ml_collections import ConfigDict

from vosjax import models
from vosjax.train.optimizers import two_adams


def stage(**changes):
  return ConfigDict(
    {
      "learning_rate": 1e-3,
      "encoder_learning_rate": 1e-6,
      "lr_decay": 1.0,
      "steps_per_epoch": 1,
      "weight_decay": 1e-6,
      "official": True,
    }
    | changes
  )


@pytest.fixture(scope="module")
def grown():
  """Of modules of the official network: zeros, and gradients of either sign."""
  model = models.build("rvos", backbone="resnet101")
  frames, masks = (
    jax.ShapeDtypeStruct(s, jnp.float32) for s in ((1, 32, 32, 3), (1, 1, 32, 32))
  )
  shapes = jax.eval_shape(model.init, jax.random.key(0), frames, masks)["params"]
  flat = flax.traverse_util.flatten_dict(shapes, sep="/")
  kept = tuple(f"{path}/" for path in MODULES.values())
  shapes = flax.traverse_util.unflatten_dict(
    {path: x for path, x in flat.items() if path.startswith(kept)}, sep="/"
  )
  rng = np.random.default_rng(0)

  def signs(leaf):
    return rng.choice(np.float32([-1e-2, 1e-2]), leaf.shape)

  return (
    model,
    jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shapes),
    (jax.tree.map(signs, shapes)),
  )


MODULES = {
  "encoder.base.conv1": "encoder/backbone/stem/conv",
  "encoder.base.bn1": "encoder/backbone/stem/norm",
  "encoder.base.layer1": "encoder/backbone/stage1",
  "encoder.sk5": "encoder/skips_0/conv",
  "decoder.clstm_list.3": "decoder/cells_3",
}


def test_an_official_step_moves_each_module_as_far_as_the_released_program(
  grown, golden
):
  """Adam's first step is the rate for each weight, whatever the gradient."""
  model, params, grads = grown
  tx = two_adams.two_adams(model, stage())
  updates, _ = tx.update(grads, tx.init(params), params)
  flat = flax.traverse_util.flatten_dict(updates, sep="/")
  case = golden("rvos/golden_train_zeroshot.npz")
  expected = dict(zip(case["grad_modules"].tolist(), case["delta_norms"], strict=True))
  for name, path in MODULES.items():
    parts = [x for key, x in flat.items() if key.startswith(f"{path}/")]
    np.testing.assert_allclose(optax.tree.norm(parts), expected[name], rtol=0.02)


def test_otherwise_every_weight_moves_once(grown):
  model, params, grads = grown
  tx = two_adams.two_adams(model, stage(official=False))
  updates, _ = tx.update(grads, tx.init(params), params)
  flat = flax.traverse_util.flatten_dict(updates, sep="/")
  for path, update in flat.items():
    rate = 1e-6 if path.startswith("encoder/backbone/") else 1e-3
    np.testing.assert_allclose(np.abs(update), rate, rtol=1e-3)


def test_repeated_updates_are_updates_one_after_the_other():
  model = models.build("rvos", backbone="resnet18")
  paths = [
    "encoder/backbone/stage1/block0/conv1/conv/kernel",
    "encoder/backbone/stage2/block0/shortcut/conv/kernel",
    "decoder/head/kernel",
  ]
  rng = np.random.default_rng(0)
  params = {path: jnp.asarray(rng.normal(size=3), jnp.float32) for path in paths}
  grads = [
    {p: jnp.asarray(rng.normal(size=3), jnp.float32) for p in paths} for _ in range(2)
  ]
  nest = lambda flat: flax.traverse_util.unflatten_dict(flat, sep="/")  # noqa: E731
  tx = two_adams.two_adams(model, stage(encoder_learning_rate=1e-2, weight_decay=0.1))
  tree, state = nest(params), tx.init(nest(params))
  for grad in grads:
    updates, state = tx.update(nest(grad), state, tree)
    tree = optax.apply_updates(tree, updates)
  found = flax.traverse_util.flatten_dict(tree, sep="/")
  for path, times, rate in zip(paths, (3, 4, 1), (1e-2, 1e-2, 1e-3), strict=True):
    repeated = [grad[path] for grad in grads for _ in range(times)]
    expected = torch_adam(params[path], repeated, rate, 0.1)
    np.testing.assert_allclose(found[path], expected, rtol=1e-5)


def torch_adam(w, grads, rate, weight_decay):
  """torch.optim.Adam with its coupled weight decay, in float64."""
  w = np.asarray(w, np.float64)
  m, v = np.zeros_like(w), np.zeros_like(w)
  for t, grad in enumerate(grads, start=1):
    g = np.asarray(grad, np.float64) + weight_decay * w
    m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
    w = w - rate * m / (1 - 0.9**t) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
  return w


def test_frozen_stages_stay(grown):
  _, params, grads = grown
  model = models.build("rvos", frozen_stages=("stem",))
  tx = two_adams.two_adams(model, stage())
  updates, _ = tx.update(grads, tx.init(params), params)
  backbone = updates["encoder"]["backbone"]
  assert not any(x.any() for x in jax.tree.leaves(backbone["stem"]))
  assert all(x.any() for x in jax.tree.leaves(backbone["stage1"]))
