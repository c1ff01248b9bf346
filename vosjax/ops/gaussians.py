"""Mask-weighted Gaussians with diagonal covariance over feature positions.

Both functions expand squares into matrix products, which is what makes many
objects cheap; features are centred first so that the expansion does not cancel.
"""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from vosjax.types import record

# Sums over hundreds of channels: TF32 or bfloat16 products would be seen in the masks.
_einsum = functools.partial(jnp.einsum, precision=jax.lax.Precision.HIGHEST)


@record
class Gaussians:
  """Components `k` of each object `o`; variances are per channel."""

  means: Float[Array, "b o k c"]
  variances: Float[Array, "b o k c"]


def weighted_moments(
  x: Float[Array, "b p c"], weights: Float[Array, "b o k p"], pseudo_count: float
) -> Gaussians:
  """Weighted mean and variance of the features at positions `p`.

  Args:
    x: features.
    weights: non-negative share of each position in each component.
    pseudo_count: observations at zero added to every weighted mean; with 1, a
      component without any position has mean and variance 0.
  """
  centre = x.mean(1, keepdims=True)
  centred = x - centre
  total = weights.sum(-1)[..., None]
  count = total + pseudo_count
  first = _einsum("bokp,bpc->bokc", weights, centred)
  second = _einsum("bokp,bpc->bokc", weights, jnp.square(centred))
  centre = centre[:, None]
  means = (first + centre * total) / count
  offset = means - centre
  variances = (second - 2 * offset * first + jnp.square(offset) * total) / count
  return Gaussians(means, variances)


def log_likelihood(
  x: Float[Array, "b p c"], gaussians: Gaussians
) -> Float[Array, "b o k p"]:
  """Log-likelihood of each position under each component, less its constant.

  The sum over channels of -1/2 (log variance + squared distance / variance); the
  term with log 2 pi is left out.
  """
  centre = x.mean(1, keepdims=True)
  centred = x - centre
  offset = gaussians.means - centre[:, None]
  precision = 1 / gaussians.variances
  squares = _einsum("bpc,bokc->bokp", jnp.square(centred), precision)
  cross = _einsum("bpc,bokc->bokp", centred, offset * precision)
  constant = jnp.log(gaussians.variances) + jnp.square(offset) * precision
  return -0.5 * (squares - 2 * cross + constant.sum(-1)[..., None])
