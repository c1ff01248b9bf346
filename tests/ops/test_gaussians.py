"""Moments and likelihoods against their definitions, in float64."""

import jax.numpy as jnp
import numpy as np
import pytest

from vosjax.ops.gaussians import Gaussians, log_likelihood, weighted_moments


@pytest.fixture(scope="module")
def case():
  rng = np.random.default_rng(0)
  x = rng.normal(3.0, 0.5, (2, 20, 4))  # far from zero: expansion must not cancel
  weights = rng.random((2, 3, 2, 20)) * (rng.random((2, 3, 2, 20)) < 0.3)
  weights[0, 0, 1] = 0  # an absent component
  return x, weights


@pytest.mark.parametrize("pseudo_count", [0.5, 1.0])
def test_moments_follow_their_definition(case, pseudo_count):
  x, weights = case
  got = weighted_moments(
    jnp.asarray(x, jnp.float32), jnp.asarray(weights, jnp.float32), pseudo_count
  )
  count = weights.sum(-1)[..., None] + pseudo_count
  means = np.einsum("bokp,bpc->bokc", weights, x) / count
  squares = (x[:, None, None] - means[:, :, :, None]) ** 2
  variances = (weights[..., None] * squares).sum(3) / count
  np.testing.assert_allclose(got.means, means, rtol=1e-5, atol=1e-6)
  np.testing.assert_allclose(got.variances, variances, rtol=1e-4, atol=1e-6)
  assert not np.asarray(got.means)[0, 0, 1].any()


def test_likelihood_follows_its_definition(case):
  x, _ = case
  rng = np.random.default_rng(1)
  means, variances = rng.normal(3, 1, (2, 3, 2, 4)), rng.uniform(0.2, 2, (2, 3, 2, 4))
  got = log_likelihood(
    jnp.asarray(x, jnp.float32),
    Gaussians(jnp.asarray(means, jnp.float32), jnp.asarray(variances, jnp.float32)),
  )
  means, variances = means[:, :, :, None], variances[:, :, :, None]
  squares = (x[:, None, None] - means) ** 2
  expected = -0.5 * (np.log(variances) + squares / variances)
  np.testing.assert_allclose(got, expected.sum(-1), rtol=2e-5)
