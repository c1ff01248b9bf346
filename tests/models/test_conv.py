"""Derivatives of convolutions: correct, and in layouts that are fast on CPU."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vosjax.models.modules.conv import centred, convolve


def plain(x, kernel, dilation):
  reach = dilation * (kernel.shape[0] // 2)
  return jax.lax.conv_general_dilated(
    x,
    kernel,
    (1, 1),
    ((reach, reach),) * 2,
    rhs_dilation=(dilation, dilation),
    dimension_numbers=("NHWC", "HWIO", "NHWC"),
  )


@pytest.mark.parametrize(("size", "dilation"), [(3, 1), (1, 1), (3, 2), (5, 1), (7, 3)])
def test_derivatives_are_those_of_jax(size, dilation):
  """In reverse and in forward mode."""
  keys = jax.random.split(jax.random.key(size), 3)
  x = jax.random.normal(keys[0], (2, 7, 10, 3))
  kernel = jax.random.normal(keys[1], (size, size, 3, 4))
  dy = jax.random.normal(keys[2], (2, 7, 10, 4))
  ours = functools.partial(convolve, dilation=dilation)
  jax_own = functools.partial(plain, dilation=dilation)
  y, pull = jax.vjp(ours, x, kernel)
  expected, pull_plain = jax.vjp(jax_own, x, kernel)
  np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)
  for found, truth in zip(pull(dy), pull_plain(dy), strict=True):
    np.testing.assert_allclose(found, truth, rtol=1e-4, atol=1e-4)
  tangents = jnp.cos(x), jnp.cos(kernel)
  found, truth = (jax.jvp(f, (x, kernel), tangents)[1] for f in (ours, jax_own))
  np.testing.assert_allclose(found, truth, rtol=1e-4, atol=1e-4)


def test_only_the_operands_are_kept_for_the_gradient():
  """And no transposed copy of them."""
  x, kernel = jnp.ones((2, 5, 7, 3)), jnp.ones((3, 3, 3, 4))
  kept = jax.tree.leaves(jax.vjp(convolve, x, kernel)[1])
  assert sorted(leaf.shape for leaf in kept) == [x.shape, kernel.shape]


def forms(convolve):
  """Dimension labels of all convolutions in the gradient of a scan."""

  def loss(kernel, x):
    def step(x, _):
      return jnp.tanh(convolve(x, kernel)), None

    return jax.lax.scan(step, x, length=3)[0].sum()

  arrays = jnp.ones((3, 3, 8, 8)), jnp.ones((2, 16, 16, 8))
  text = jax.jit(jax.grad(loss)).lower(*arrays).compile().as_text()
  return set(re.findall(r"dim_labels=(\S+?)[,\s]", text))


def test_the_gradient_of_a_scan_is_channels_last_on_cpu():
  """XLA's CPU backend computes other layouts 14 to 30 times slower."""
  assert forms(convolve) == {"b01f_01io->b01f"}


def test_jax_alone_produces_other_layouts():
  """If this fails, XLA does it by itself and `convolve` needs no rule of its own."""
  assert forms(lambda x, kernel: plain(x, kernel, 1)) - {"b01f_01io->b01f"}


def test_centred_kernels_have_the_variance_of_he_mostly_at_the_centre():
  key, shape = jax.random.key(0), (3, 3, 64, 64)
  he = jax.nn.initializers.he_uniform()(key, shape)
  kernel = centred(0.7)(key, shape)
  energy = jnp.square(kernel).sum((2, 3))
  np.testing.assert_allclose(energy.sum(), jnp.square(he).sum(), rtol=0.05)
  np.testing.assert_allclose(energy[1, 1] / energy.sum(), 0.7, atol=0.02)
  single = (1, 1, 4, 4)
  he = jax.nn.initializers.he_uniform()(key, single)
  np.testing.assert_array_equal(centred(0.7)(key, single), he)
