"""Mask-weighted Gaussians with diagonal covariance over feature positions.

Both functions expand squares into matrix products, which makes many objects cheap.
Features are centred first, because the expansion would lose precision otherwise.
"""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from vosjax.types import record

# Sums over hundreds of channels: products in TF32 or bfloat16 would change the masks.
_einsum = functools.partial(jnp.einsum, precision=jax.lax.Precision.HIGHEST)


@record
class Gaussians:
  """Gaussian components `k` of each object `o`, with a variance for each channel."""

  means: Float[Array, "b o k c"]
  variances: Float[Array, "b o k c"]


def weighted_moments(
  x: Float[Array, "b p c"], weights: Float[Array, "b o k p"], pseudo_count: float
) -> Gaussians:
  """Weighted mean and variance of the features at positions `p`.

  Args:
    x: features.
    weights: non-negative weight of each position in each component.
    pseudo_count: number of observations of value zero that are added to every weighted
      mean; with 1, a component without positions has mean and variance 0.
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
  """Log-likelihood of each position under each component, up to a constant.

  The sum over channels of -1/2 (log variance + squared distance / variance), without
  the term in log 2 pi.
  """
  centre = x.mean(1, keepdims=True)
  centred = x - centre
  offset = gaussians.means - centre[:, None]
  precision = 1 / gaussians.variances
  squares = _einsum("bpc,bokc->bokp", jnp.square(centred), precision)
  cross = _einsum("bpc,bokc->bokp", centred, offset * precision)
  constant = jnp.log(gaussians.variances) + jnp.square(offset) * precision
  return -0.5 * (squares - 2 * cross + constant.sum(-1)[..., None])
