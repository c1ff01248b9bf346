"""BatchNorm's running statistics, steps of a clip, and folding."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vosjax import models
from vosjax.models.backbones.resnet import ResNet
from vosjax.models.modules.norm import BatchNorm


def test_batch_statistics_follow_pytorch():
  x = np.random.default_rng(0).normal(2, 3, (4, 5, 6, 2)).astype(np.float32)
  norm = BatchNorm()
  variables = norm.init(jax.random.key(0), jnp.asarray(x), train=False)
  y, updated = norm.apply(
    variables, jnp.asarray(x), train=True, mutable=["batch_stats"]
  )
  mean, var = x.mean((0, 1, 2)), x.var((0, 1, 2))
  np.testing.assert_allclose(y, (x - mean) / np.sqrt(var + 1e-5), atol=1e-5)
  stats = updated["batch_stats"]
  np.testing.assert_allclose(stats["mean"], 0.1 * mean, rtol=1e-5)
  unbiased = x.var((0, 1, 2), ddof=1)
  np.testing.assert_allclose(stats["var"], 0.9 + 0.1 * unbiased, rtol=1e-5)


def test_a_clip_at_once_equals_its_frames_one_by_one():
  clip = np.random.default_rng(0).normal(size=(2, 3, 4, 4, 2)).astype(np.float32)
  clip *= np.array([1, 4, 9], np.float32).reshape(1, 3, 1, 1, 1)
  clip = jnp.asarray(clip)
  norm = BatchNorm()
  variables = norm.init(jax.random.key(0), clip[:, 0], train=False)
  together, after = norm.apply(
    variables, clip.reshape(6, 4, 4, 2), train=True, steps=3, mutable=["batch_stats"]
  )
  apart = []
  for t in range(3):
    y, updated = norm.apply(variables, clip[:, t], train=True, mutable=["batch_stats"])
    apart.append(y)
    variables = variables | updated
  together = together.reshape(clip.shape)
  np.testing.assert_allclose(together, np.stack(apart, 1), atol=1e-5)
  for name in ("mean", "var"):
    np.testing.assert_allclose(
      after["batch_stats"][name], variables["batch_stats"][name], rtol=1e-5
    )


@pytest.mark.parametrize("winograd", [False, True])
def test_folding_changes_nothing(winograd):
  network = ResNet("resnet18", 64, 8)
  x = jax.random.normal(jax.random.key(0), (1, 40, 48, 3))
  variables = jax.jit(network.init)(jax.random.key(1), x)
  # Statistics and scales that a forgotten one would show.
  leaves, tree = jax.tree.flatten(variables)
  keys = jax.random.split(jax.random.key(2), len(leaves))
  leaves = [
    leaf if leaf.ndim > 1 else jax.random.uniform(key, leaf.shape, float, 0.6, 1.2)
    for key, leaf in zip(keys, leaves)
  ]
  variables = jax.tree.unflatten(tree, leaves)
  folded = models.fold(variables, winograd=winograd)
  assert "batch_stats" not in folded
  wide = folded["params"]["stage4"]["block1"]["conv2"]["conv"]
  assert ("winograd" in wide) == winograd
  expected = jax.jit(network.apply)(variables, x)
  actual = jax.jit(network.clone(folded=True).apply)(folded, x)
  for stage, one in vars(expected).items():
    other = getattr(actual, stage)
    scale = np.abs(one).max()
    np.testing.assert_allclose(other / scale, one / scale, atol=1e-5, err_msg=stage)
