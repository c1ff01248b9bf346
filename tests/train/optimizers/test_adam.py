import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from ml_collections import ConfigDict

from vosjax.train.optimizers import adam
from vosjax.train.recipes.agame import RECIPE

OPTIONS = {
  "learning_rate": 1e-2,
  "lr_decay": 0.5,
  "steps_per_epoch": 2,
  "weight_decay": 0.1,
}


def params():
  return {
    "backbone": {
      "stage1": {"w": jnp.array([1.0, -2.0])},
      "stage10": {"w": jnp.ones(2)},
    },
    "head": {"w": jnp.array([0.5, 3.0])},
  }


def torch_adam(w, grads, *, learning_rate, lr_decay, steps_per_epoch, weight_decay):
  """torch.optim.Adam with weight_decay and ExponentialLR per epoch, in float64."""
  m, v = np.zeros_like(w), np.zeros_like(w)
  for t, grad in enumerate(grads, start=1):
    g = grad + weight_decay * w
    m = 0.9 * m + 0.1 * g
    v = 0.999 * v + 0.001 * g * g
    rate = learning_rate * lr_decay ** ((t - 1) // steps_per_epoch)
    denominator = np.sqrt(v) / np.sqrt(1 - 0.999**t) + 1e-8
    w = w - rate / (1 - 0.9**t) * m / denominator
  return w


def test_updates_agree_with_coupled_adam_and_a_staircase_schedule():
  tree = params()
  tx = adam.make_optimizer(**OPTIONS, frozen=("backbone/stage1",))
  state = tx.init(tree)
  grads = np.random.default_rng(0).normal(size=(5, 2))
  for grad in grads:
    grad = jax.tree.map(lambda _, g=grad: jnp.asarray(g, jnp.float32), tree)
    updates, state = tx.update(grad, state, tree)
    tree = optax.apply_updates(tree, updates)
  expected = torch_adam(np.array([0.5, 3.0]), grads, **OPTIONS)
  np.testing.assert_allclose(tree["head"]["w"], expected, rtol=2e-6)
  np.testing.assert_array_equal(tree["backbone"]["stage1"]["w"], [1.0, -2.0])
  assert not np.allclose(tree["backbone"]["stage10"]["w"], 1.0)  # not below stage1


def test_frozen_parameters_have_no_moments():
  free = adam.make_optimizer(**OPTIONS).init(params())
  some = adam.make_optimizer(**OPTIONS, frozen=("backbone",)).init(params())
  count = lambda tree: sum(leaf.size for leaf in jax.tree.leaves(tree))  # noqa: E731
  assert count(free) - count(some) == 2 * 4


def test_a_prefix_that_freezes_nothing_is_refused():
  with pytest.raises(ValueError, match=r"below 'backbone/stage2'.*'backbone/stage1'"):
    adam.label_params(params(), ["backbone/stage2"])


class Partly(nn.Module):
  """A model of which one part is frozen."""

  frozen = ("still",)


@pytest.mark.parametrize(("limit", "expected"), [(0.0, 5.0), (1.0, 1.0), (9.0, 5.0)])
def test_gradient_clipping_works_with_any_optimizer(limit, expected):
  recipe = dataclasses.replace(RECIPE, optimizer=lambda *_: optax.identity())
  tx = recipe.clipped_optimizer(
    Partly(), ConfigDict({"max_grad_norm": limit, "reference_batch_size": 0})
  )
  grads = {"a": jnp.array([3.0]), "b": jnp.array([4.0]), "still": jnp.array([99.0])}
  updates, _ = tx.update(grads, tx.init(grads), grads)
  del updates["still"]  # which moves nothing, and must not count
  np.testing.assert_allclose(optax.tree.norm(updates), expected, rtol=1e-6)
  np.testing.assert_allclose(updates["b"] / updates["a"], 4 / 3, rtol=1e-6)
