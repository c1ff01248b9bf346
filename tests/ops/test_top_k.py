"""The largest entries of rows."""

import jax.numpy as jnp
import numpy as np
import pytest

from vosjax.ops.top_k import top_k


@pytest.mark.parametrize("shape", [(5, 9), (4, 3, 9), (4, 2, 3, 9)])
def test_values_and_places(shape):
  x = np.random.default_rng(0).permutation(np.prod(shape)).reshape(shape)
  x = (x / 7).astype(np.float32)
  value, index = top_k(jnp.asarray(x), 4)
  expected = np.argsort(-x, axis=-1)[..., :4]
  np.testing.assert_array_equal(index, expected)
  np.testing.assert_array_equal(value, np.take_along_axis(x, expected, -1))
