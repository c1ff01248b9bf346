"""The largest entries of rows, where several devices share the rows."""

import jax
from jax.sharding import AxisType, PartitionSpec
from jaxtyping import Array, Float, Int


def top_k(
  x: Float[Array, "b *rows n"], k: int
) -> tuple[Float[Array, "b *rows k"], Int[Array, "b *rows k"]]:
  """Values and places of the `k` largest entries of each row, the largest first.

  XLA does not divide this operation by itself: each device would be sent all rows of
  the batch. In a mesh, such as that of a training step, every device keeps its own part
  of the batch. On CPU, XLA has a fast kernel for matrices alone and sorts everything
  else, hence the shape.
  """

  def find(x: Array) -> tuple[Array, Array]:
    value, index = jax.lax.top_k(x.reshape(-1, x.shape[-1]), k)
    shape = (*x.shape[:-1], k)
    return value.reshape(shape), index.reshape(shape)

  mesh = jax.sharding.get_abstract_mesh()
  is_shared = mesh.size > 1 and set(mesh.axis_types) == {AxisType.Auto}
  if is_shared and len(x) % mesh.size == 0:
    batch = PartitionSpec(mesh.axis_names)
    find = jax.shard_map(find, in_specs=batch, out_specs=batch)
  return find(x)
