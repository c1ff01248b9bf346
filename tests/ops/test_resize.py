"""Resizing against the official programs; pooling; padding and its inverse."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vosjax.ops import resize


def image(shape, seed=0):
  return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("factor", [2, 4, 16])
def test_half_pixel_bilinear_equals_the_official_upsampling(golden, factor):
  case = golden("agame/golden_modules.npz")
  x = jnp.moveaxis(jnp.asarray(case["resize_in"]), 1, -1)
  out = resize.bilinear(x, (3 * factor, 5 * factor))
  step = 4 if factor == 16 else 1
  expected = case[f"resize_x{factor}"]
  ours = np.moveaxis(np.asarray(out), -1, 1)[:, :, ::step, ::step]
  np.testing.assert_allclose(ours, expected, atol=1e-6)


def test_aligned_corners_keep_the_corners_and_are_linear_between():
  x = image((1, 3, 4, 2))
  out = np.asarray(resize.bilinear(jnp.asarray(x), (5, 10), align_corners=True))
  np.testing.assert_allclose(out[:, ::2, ::3], x, atol=1e-6)
  between = x[:, :, 0] + (x[:, :, 1] - x[:, :, 0]) / 3
  np.testing.assert_allclose(out[:, ::2, 1], between, atol=1e-6)


def test_average_pool_is_the_mean_of_each_square():
  x = image((2, 4, 6, 3))
  out = resize.average_pool(jnp.asarray(x), 2)
  np.testing.assert_allclose(out[1, 1, 2], x[1, 2:4, 4:6].mean((0, 1)), rtol=1e-6)


def test_average_pool_names_sizes_that_do_not_fit():
  with pytest.raises(ValueError, match="5x6 pixels are not divisible into 2x2"):
    resize.average_pool(jnp.zeros((1, 5, 6, 1)), 2)


@pytest.mark.parametrize("size", [(5, 8), (6, 7), (1, 2)])
def test_max_pool_equals_reduce_window(size):
  x = jnp.asarray(image((2, *size, 3)))
  expected = nn.max_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1)))
  np.testing.assert_array_equal(resize.max_pool_3x3(x), expected)


def test_max_pool_rounds_up_on_request():
  x = jnp.asarray(image((1, 4, 5, 2)))
  out = resize.max_pool_3x3(x, ceil=True)
  assert out.shape == (1, 3, 3, 2)
  np.testing.assert_array_equal(out[0, 2, 0], x[0, 3:, :2].max((0, 1)))


@pytest.mark.parametrize("size", [(101, 149), (16, 32), (7, 3)])
def test_padding_reflects_with_more_in_front_and_is_undone(size):
  frame = resize.PadToMultiple(size, 16)
  x = image((1, *size, 3))
  padded = frame.frames(jnp.asarray(x))
  lacks = [-n % 16 for n in size]
  before = [(n + 1) // 2 for n in lacks]
  widths = [(b, n - b) for b, n in zip(before, lacks)]
  np.testing.assert_array_equal(
    padded, np.pad(x, ((0, 0), *widths, (0, 0)), mode="reflect")
  )
  assert padded.shape[1:3] == frame.framed_size
  masks = jnp.moveaxis(jnp.asarray(x), -1, 1)
  np.testing.assert_array_equal(frame.restore(frame.masks(masks)), masks)


def test_max_pool_has_the_gradient_of_reduce_window():
  x = jnp.asarray(image((1, 6, 7, 2)))
  ours = jax.grad(lambda x: (resize.max_pool_3x3(x) ** 2).sum())(x)
  theirs = jax.grad(
    lambda x: (nn.max_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1))) ** 2).sum()
  )(x)
  np.testing.assert_allclose(ours, theirs, rtol=1e-6)


@pytest.mark.parametrize(("size", "factor"), [((24, 37), 2), ((17, 30), 3)])
def test_enlarged_images_come_back_at_their_own_size(size, factor):
  framing = resize.EnlargeAndPad(size, factor, 8)
  h, w = size
  assert framing.framed_size == (-(-factor * h // 8) * 8, -(-factor * w // 8) * 8)
  waves = np.sin(np.arange(w) / 4)[None] * np.cos(np.arange(h) / 5)[:, None]
  image = np.stack([0.5 + 0.5 * waves, 0.5 - 0.5 * waves, waves**2], -1)[None]
  image = image.astype(np.float32)
  framed = framing.frames(image)
  assert framed.shape == (1, *framing.framed_size, 3)
  assert framed.min() >= 0 and framed.max() <= 1
  back = framing.restore(jnp.moveaxis(framed, -1, 1))
  np.testing.assert_allclose(np.moveaxis(back, 1, -1), image, atol=0.03)
  masks = np.zeros((1, 2, h, w), np.float32)
  masks[:, 0, 4:12, 5:20] = 1
  np.testing.assert_array_equal(framing.restore(framing.masks(masks)) > 0.5, masks > 0)


def test_constant_images_stay_constant():
  framing = resize.EnlargeAndPad((10, 12), 2, 16)
  framed = framing.frames(np.full((1, 10, 12, 3), 0.25, np.float32))
  np.testing.assert_allclose(framed, 0.25, atol=1e-6)
