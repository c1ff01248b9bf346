"""BatchNorm's running statistics, steps of a clip, and folding."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vosjax import models
from vosjax.models.backbones.resnet import Block
from vosjax.models.modules.norm import BatchNorm, ConvNorm


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


def test_a_clip_normalised_at_once_equals_its_frames_one_by_one():
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


class Units(nn.Module):
  """A narrow unit, a block of the backbone, and a wide, dilated unit with a bias."""

  execution: models.Execution = models.Execution()

  @nn.compact
  def __call__(self, x):
    options = {"execution": self.execution}
    x = ConvNorm(8, 3, stride=2, name="narrow", **options)(x, train=False)
    block = Block(4, True, 1, 1, 1, project=True, name="block", **options)
    x = ConvNorm(256, 1, name="pointwise", **options)(block(x, False, 1), train=False)
    wide = ConvNorm(256, 3, dilation=2, use_bias=True, name="wide", **options)
    return wide(x, train=False)


@pytest.mark.parametrize("winograd", [False, True])
def test_folding_changes_nothing(winograd):
  network = Units()
  x = jax.random.normal(jax.random.key(0), (1, 12, 14, 3))
  variables = network.init(jax.random.key(1), x)
  # Scales, biases and statistics off their initial values, so that each one matters.
  leaves, tree = jax.tree.flatten(variables)
  keys = jax.random.split(jax.random.key(2), len(leaves))
  leaves = [
    leaf if leaf.ndim > 1 else jax.random.uniform(key, leaf.shape, float, 0.6, 1.2)
    for key, leaf in zip(keys, leaves)
  ]
  variables = jax.tree.unflatten(tree, leaves)
  folded = models.fold(variables, winograd=winograd)
  assert "batch_stats" not in folded
  transformed = {
    name
    for name, unit in folded["params"].items()
    if "winograd" in unit.get("conv", {})
  }
  assert transformed == ({"wide"} if winograd else set())
  expected = jax.jit(network.apply)(variables, x)
  actual = jax.jit(models.with_execution(network, folded=True).apply)(folded, x)
  np.testing.assert_allclose(actual, expected, atol=1e-5 * np.abs(expected).max())
