"""Devices that share a batch compute what belongs to their own clips."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from vosjax.losses import matching
from vosjax.ops.own_clips import on_own_clips
from vosjax.ops.top_k import top_k
from vosjax.train.step import DATA, make_mesh


def find(x):
  """What XLA does not divide by itself."""
  return top_k(x, 3)


def costs(num_clips):
  return np.random.default_rng(0).random((num_clips, 4, 4), np.float32)


def jit(function, mesh):
  clips = NamedSharding(mesh, PartitionSpec(DATA))
  return jax.jit(function, in_shardings=clips, out_shardings=clips)


@pytest.mark.parametrize("function", [find, matching.match])
def test_clips_stay_on_their_devices(function, exchanged):
  mesh, x = make_mesh(4), costs(4)
  assert mesh.size == 2
  with jax.set_mesh(mesh):
    program = jit(function, mesh).lower(x).compile()
  assert not exchanged(program, "sent") and not exchanged(program, "summed")
  jax.tree.map(np.testing.assert_array_equal, program(x), function(jnp.asarray(x)))


def test_clips_that_cannot_be_divided():
  x = costs(3)
  with jax.set_mesh(make_mesh(4)):
    found = jax.jit(find)(x)
  jax.tree.map(np.testing.assert_array_equal, found, find(jnp.asarray(x)))


def test_what_devices_exchange_is_seen(exchanged):
  mesh, x = make_mesh(4), costs(4)
  clips, everywhere = (NamedSharding(mesh, PartitionSpec(*n)) for n in ((DATA,), ()))
  gather = jax.jit(lambda x: 2 * x, in_shardings=clips, out_shardings=everywhere)
  assert exchanged(gather.lower(x).compile(), "sent") == [x.size]
  add = jax.jit(lambda x: x.sum(0), in_shardings=clips, out_shardings=everywhere)
  assert exchanged(add.lower(x).compile(), "summed") == [x[0].size]


@pytest.mark.parametrize("kind", ["manual", "explicit"])
def test_axes_of_other_kinds_are_left_alone(kind):
  """Those of a `shard_map`, and those that are part of the types of arrays."""
  x, mesh = costs(4), make_mesh(4)
  if kind == "manual":
    clips = PartitionSpec(DATA)
    step = jax.shard_map(find, mesh=mesh, in_specs=clips, out_specs=clips)
    found = jax.jit(step)(x)
  else:
    mesh = jax.make_mesh((2,), (DATA,), axis_types=(AxisType.Explicit,))
    with jax.set_mesh(mesh):
      found = jax.jit(find)(jax.device_put(x, NamedSharding(mesh, PartitionSpec())))
  jax.tree.map(np.testing.assert_array_equal, found, find(jnp.asarray(x)))


def test_a_batch_of_any_size_is_exported():
  (b,) = jax.export.symbolic_shape("b")
  shape = jax.ShapeDtypeStruct((b, 4, 4), np.float32)
  with jax.set_mesh(make_mesh(4)):
    exported = jax.export.export(jax.jit(on_own_clips(lambda x: x + 1)))(shape)
  assert exported.in_avals[0].shape[0] == b
