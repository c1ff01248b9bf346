"""The two Adams of RVOS and RSIS."""

import flax.linen as nn
import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from vosjax.train.optimizers.two_adams import two_adams

STAGE = ConfigDict(
  {
    "learning_rate": 1e-3,
    "encoder_learning_rate": 1e-6,
    "lr_decay": 1.0,
    "steps_per_epoch": 1,
    "weight_decay": 1e-6,
  }
)


class Network(nn.Module):
  """Stands in for a model, of which the optimizer needs this field alone."""

  frozen: tuple[str, ...] = ()


@pytest.fixture
def updates():
  """First updates of small parameters, by path, given what is frozen."""

  def update(frozen=()):
    paths = (
      "encoder/backbone/stem/conv/kernel",
      "encoder/backbone/stage1/block0/conv1/kernel",
      "encoder/skips_0/conv/kernel",
      "decoder/head/kernel",
    )
    rng = np.random.default_rng(0)
    params = {path: jnp.zeros(3) for path in paths}
    grads = {p: jnp.asarray(rng.choice([-0.01, 0.01], 3), jnp.float32) for p in paths}
    params, grads = (
      flax.traverse_util.unflatten_dict(tree, sep="/") for tree in (params, grads)
    )
    tx = two_adams(Network(frozen), STAGE)
    updates, _ = tx.update(grads, tx.init(params), params)
    return flax.traverse_util.flatten_dict(updates, sep="/")

  return update


def test_the_backbone_has_a_rate_of_its_own(updates):
  """Adam's first step is the rate for each weight, whatever the gradient."""
  for path, update in updates().items():
    rate = 1e-6 if path.startswith("encoder/backbone/") else 1e-3
    np.testing.assert_allclose(np.abs(update), rate, rtol=1e-3, err_msg=path)


def test_frozen_parameters_are_not_changed(updates):
  moved = jax.tree.map(lambda x: bool(x.any()), updates(("encoder/backbone/stem",)))
  assert not moved.pop("encoder/backbone/stem/conv/kernel")
  assert all(moved.values())
