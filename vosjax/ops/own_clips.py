"""Work that each device does for its own clips of a batch."""

from collections.abc import Callable
from typing import TypeVar

import jax
from jax.sharding import AxisType, PartitionSpec
from jaxtyping import Array

Result = TypeVar("Result")


def on_own_clips(function: Callable[[Array], Result]) -> Callable[[Array], Result]:
  """Has every device of a mesh apply a function to its own clips of a batch.

  XLA divides most operations among the devices that share a batch, but not all: for the
  others each device would be sent the whole batch, and do the work of all.

  Args:
    function: of an array whose first axis is the batch, to arrays with the same first
      axis. Clips must not depend on each other.

  Returns:
    The same function, to be traced under `jit`. It is divided where a mesh is set (by
    `jax.set_mesh` or `vosjax.train.step.make_train_step`) whose axes are all `Auto` and
    whose size divides the batch; the batch is shared over all axes of the mesh.
  """

  def divided(x: Array) -> Result:
    mesh = jax.sharding.get_abstract_mesh()
    clips = x.shape[0]
    is_shared = mesh.size > 1 and set(mesh.axis_types) == {AxisType.Auto}
    if not is_shared or not isinstance(clips, int) or clips % mesh.size:
      return function(x)
    batch = PartitionSpec(mesh.axis_names)
    # Unchecked: loops of libraries may begin with values that are equal everywhere.
    apply = jax.shard_map(function, in_specs=batch, out_specs=batch, check_vma=False)
    return apply(x)

  return divided
