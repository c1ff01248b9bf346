"""Keeping a matrix orthogonal while it is trained."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def orthogonality_penalty(matrix: Float[Array, "d c"]) -> Float[Array, ""]:
  """Squared Frobenius distance of P P^T from the identity.

  Source: Lu et al., COSNet, CVPR 2019, the symmetric form of co-attention.
  """
  return jnp.square(matrix @ matrix.T - jnp.eye(matrix.shape[0])).sum()
