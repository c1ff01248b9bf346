"""A penalty that keeps a trained matrix orthogonal."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def orthogonality_penalty(matrix: Float[Array, "d c"]) -> Float[Array, ""]:
  """Distance of a matrix P from orthogonality: ||P P^T - I||_F^2.

  Source: Lu et al., COSNet, CVPR 2019, the symmetric form of co-attention.
  """
  return jnp.square(matrix @ matrix.T - jnp.eye(matrix.shape[0])).sum()
