"""Depthwise convolution: both forms, their derivatives, and SAME padding."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vosjax.ops import depthwise

# Size of the kernel, stride, dilation, rows and columns.
CASES = [(3, 1, 1, 5, 8), (5, 2, 1, 7, 8), (3, 2, 1, 6, 9), (5, 1, 2, 6, 5)]


def draw(size, rows, columns):
  keys = jax.random.split(jax.random.key(size), 2)
  x = jax.random.normal(keys[0], (2, rows, columns, 3))
  return x, jax.random.normal(keys[1], (size, size, 1, 3))


def group(x, kernel, stride, dilation):
  return jax.lax.conv_general_dilated(
    x,
    kernel,
    (stride, stride),
    "SAME",
    rhs_dilation=(dilation, dilation),
    dimension_numbers=("NHWC", "HWIO", "NHWC"),
    feature_group_count=x.shape[-1],
  )


@pytest.mark.parametrize(("size", "stride", "dilation", "rows", "columns"), CASES)
def test_values_and_derivatives_are_those_of_a_grouped_convolution(
  size, stride, dilation, rows, columns
):
  """With respect to both operands, in reverse, forward and forward over reverse."""
  x, kernel = draw(size, rows, columns)
  tangents = jnp.cos(x), jnp.sin(kernel)

  def compute(form):
    def f(x, kernel):
      return form(x, kernel, stride, dilation)

    gradient = jax.grad(lambda x, kernel: jnp.sin(f(x, kernel)).sum(), (0, 1))
    return (
      f(x, kernel),
      jax.jvp(f, (x, kernel), tangents)[1],
      jax.jvp(gradient, (x, kernel), tangents),
    )

  found = jax.jit(lambda: compute(depthwise.convolve))()
  expected = jax.jit(lambda: compute(group))()
  for a, b in zip(*map(jax.tree.leaves, (found, expected)), strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


def test_only_the_operands_are_kept_for_the_gradient():
  x, kernel = draw(5, 6, 8)
  kept = jax.tree.leaves(jax.vjp(depthwise.convolve, x, kernel)[1])
  assert sorted(leaf.shape for leaf in kept) == sorted([x.shape, kernel.shape])


def test_gradients_of_a_batch_in_a_scan():
  """As when objects and frames are mapped over, and with recomputation."""
  x, kernel = draw(3, 6, 8)

  def loss(form, kernel):
    def step(x, _):
      return jnp.tanh(form(x, kernel, 1, 1)), None

    return jnp.square(jax.lax.scan(jax.checkpoint(step), x, length=3)[0]).sum()

  def gradients(form):
    kernels = jnp.stack([kernel, 2 * kernel])
    return jax.jit(jax.vmap(jax.grad(functools.partial(loss, form))))(kernels)

  found, expected = gradients(depthwise.convolve), gradients(group)
  np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_it_is_grouped_on_other_platforms_than_cpu():
  arrays = draw(3, 6, 8)

  def convolutions(platform):
    exported = jax.export.export(jax.jit(depthwise.convolve), platforms=(platform,))
    return str(exported(*arrays).mlir_module()).count("stablehlo.convolution")

  assert [convolutions(name) for name in ("cpu", "cuda", "tpu")] == [0, 1, 1]


def test_a_program_for_several_platforms_runs_here():
  x, kernel = draw(3, 6, 8)
  f = jax.grad(lambda x, kernel: jnp.square(depthwise.convolve(x, kernel, 2)).sum())
  exported = jax.export.export(jax.jit(f), platforms=("cpu", "cuda", "tpu"))(x, kernel)
  np.testing.assert_allclose(
    exported.call(x, kernel), f(x, kernel), rtol=1e-5, atol=1e-5
  )


def test_sums_are_rounded_to_bfloat16_once():
  x, kernel = jnp.full((1, 5, 5, 1), 1.0), jnp.full((5, 5, 1, 1), 1.0)
  kernel = kernel.at[0, 0].set(256)  # bfloat16 rounds 256 + 1 to 256
  y = depthwise.convolve(x.astype(jnp.bfloat16), kernel.astype(jnp.bfloat16))
  assert y.dtype == jnp.bfloat16
  assert y[0, 2, 2, 0] == 280
