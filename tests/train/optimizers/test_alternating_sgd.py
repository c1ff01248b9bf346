"""COSNet's optimizer against a literal loop over lists of parameters."""

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vosjax.train.optimizers.adam import TRAINED, label_params
from vosjax.train.optimizers.alternating_sgd import make_alternating_sgd
from vosjax.train.optimizers.alternation import Rates
from vosjax.train.recipes.official.cosnet import num_updates

PATHS = {
  "encoder/resnet/stem/conv": 1,
  "encoder/resnet/stage1/block0/conv1": 3,
  "encoder/resnet/stage1/block0/shortcut/conv": 4,
  "encoder/resnet/stage1/block0/shortcut/norm": 0,
  "encoder/pyramid/join": 2,
  "encoder/saliency_head": 1,
  "co_attention": 1,
  "head_a/join": 1,
}
FROZEN = ("encoder/resnet/stage1/block0/shortcut/norm",)
MOMENTUM, DECAY = 0.9, 0.01


def tree(values):
  root = {}
  for path, value in values.items():
    *folders, name = path.split("/")
    node = root
    for folder in folders:
      node = node.setdefault(folder, {})
    node[name] = {"kernel": value}
  return root


def leaves(root):
  return {
    "/".join(k.key for k in path[:-1]): np.asarray(value)
    for path, value in jax.tree_util.tree_leaves_with_path(root)
  }


def rates(step):
  """As in training: the heads are not updated in every third step."""
  still = step % 3 == 0
  return Rates(jnp.where(still, 0.1, 0.001), jnp.where(still, 0.0, 1.0))


@pytest.mark.parametrize("repeat", [False, True])
def test_steps_agree_with_the_released_list_of_parameters(repeat):
  """The released program walks through a list that may repeat a parameter."""
  rng = np.random.default_rng(0)
  params = {path: rng.normal(size=3).astype(np.float32) for path in PATHS}
  grads = [
    {path: rng.normal(size=3).astype(np.float32) for path in PATHS} for _ in range(5)
  ]
  tx = make_alternating_sgd(
    rates,
    momentum=MOMENTUM,
    weight_decay=DECAY,
    frozen=FROZEN,
    **({"num_updates": num_updates} if repeat else {}),
  )
  ours = jax.tree.map(jnp.asarray, tree(params))
  state = tx.init(ours)
  expected = {path: value.astype(np.float64) for path, value in params.items()}
  buffers: dict[str, np.ndarray] = {}
  for step, grad in enumerate(grads):
    updates, state = jax.jit(tx.update)(tree(grad), state, ours)
    ours = jax.tree.map(jnp.add, ours, updates)
    now = rates(step)
    for path, times in PATHS.items():
      d = grad[path].astype(np.float64)
      for _ in range(times if repeat else min(times, 1)):
        d += DECAY * expected[path]  # in place, as in PyTorch 1.0
        buffers[path] = MOMENTUM * buffers[path] + d if path in buffers else d.copy()
        rate = now.encoder if path.startswith("encoder") else now.heads
        expected[path] = expected[path] - float(rate) * buffers[path]
  for path, value in leaves(ours).items():
    np.testing.assert_allclose(value, expected[path], atol=1e-5, err_msg=path)


def test_the_number_of_entries_in_the_released_list():
  """962 entries for the 331 trained tensors of the encoder, as counted there."""
  from vosjax import models

  model = models.build("cosnet")
  shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 33, 33, 3)))
  labels = label_params(shapes["params"], model.frozen)
  labels = flax.traverse_util.flatten_dict(labels, sep="/")
  trained = [path for path, label in labels.items() if label == TRAINED]
  encoder = [path for path in trained if path.startswith("encoder/")]
  assert len(encoder) == 331
  assert sum(map(num_updates, encoder)) == 962
  assert len(labels) - len(trained) == 8
