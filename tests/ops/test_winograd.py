"""Winograd's convolution equals the direct one."""

import jax
import numpy as np
import pytest

from vosjax.models.modules.conv import convolve
from vosjax.ops import winograd


@pytest.mark.parametrize("size", [(1, 1), (6, 8), (7, 5), (13, 18)])
@pytest.mark.parametrize("dilation", [1, 2, 3, 6])
def test_equals_the_direct_convolution(size, dilation):
  keys = jax.random.split(jax.random.key(0))
  x = jax.random.normal(keys[0], (2, *size, 5))
  kernel = jax.random.normal(keys[1], (3, 3, 5, 4))
  fast = winograd.convolve(x, winograd.transform_kernel(kernel), dilation)
  direct = convolve(x, kernel, dilation=dilation)
  np.testing.assert_allclose(fast, direct, atol=2e-5)
