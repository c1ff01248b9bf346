"""The largest entries of rows."""

import jax
from jaxtyping import Array, Float, Int

from vosjax.ops.own_clips import on_own_clips


def top_k(
  x: Float[Array, "b *rows n"], k: int
) -> tuple[Float[Array, "b *rows k"], Int[Array, "b *rows k"]]:
  """Values and places of the `k` largest entries of each row, the largest first.

  Devices that share the batch keep their own rows. On CPU, XLA has a fast kernel for
  matrices alone and sorts everything else, so the rows are flattened.
  """

  @on_own_clips
  def find(x: Array) -> tuple[Array, Array]:
    value, index = jax.lax.top_k(x.reshape(-1, x.shape[-1]), k)
    shape = (*x.shape[:-1], k)
    return value.reshape(shape), index.reshape(shape)

  return find(x)
