"""The largest entries, on one device and on several."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from vosjax.ops.top_k import top_k
from vosjax.train.step import DATA, make_mesh


def make_rows(*shape):
  return np.random.default_rng(0).permutation(np.prod(shape)).reshape(shape) / 7.0


def expected(x, k):
  index = np.argsort(-x, axis=-1)[..., :k]
  return np.take_along_axis(x, index, -1), index


@pytest.mark.parametrize("shape", [(5, 9), (4, 3, 9), (4, 2, 3, 9)])
def test_values_and_places(shape):
  x = make_rows(*shape).astype(np.float32)
  for found, want in zip(top_k(jnp.asarray(x), 4), expected(x, 4)):
    np.testing.assert_array_equal(found, want)


@pytest.mark.parametrize("num_clips", [4, 3])
def test_devices_keep_their_rows(num_clips, sent):
  x = make_rows(num_clips, 5, 9).astype(np.float32)
  mesh = make_mesh(4)
  assert mesh.size == 2
  clips = NamedSharding(mesh, PartitionSpec(DATA))
  with jax.set_mesh(mesh):
    found = jax.jit(top_k, static_argnums=1)(x, 3)
    if num_clips == 4:  # three clips have no equal parts
      step = jax.jit(lambda x: top_k(x, 3), in_shardings=clips, out_shardings=clips)
      assert sent(step.lower(x).compile()) == []
  for array, want in zip(found, expected(x, 3)):
    np.testing.assert_array_equal(array, want)


def test_what_devices_send_each_other_is_seen(sent):
  mesh = make_mesh(4)
  clips, everywhere = (NamedSharding(mesh, PartitionSpec(*n)) for n in ((DATA,), ()))
  gather = jax.jit(lambda x: 2 * x, in_shardings=clips, out_shardings=everywhere)
  x = make_rows(4, 5, 9).astype(np.float32)
  assert sent(gather.lower(x).compile()) == [x.size]
