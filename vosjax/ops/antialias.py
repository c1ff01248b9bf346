"""Pillow's antialiased bilinear resizing of bytes, to the last bit, on any device.

Published weights saw frames that Pillow had resized; no plain bilinear filter gives
the same picture when it shrinks one.
"""

import functools
import math
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from vosjax.ops import resize
from vosjax.types import AnyArray

_PRECISION_BITS = 32 - 8 - 2  # of Pillow's fixed-point weights


@functools.cache
def _taps(old: int, new: int) -> tuple[np.ndarray, np.ndarray]:
  """Which pixels each pixel of the result sees, and their fixed-point weights."""
  scale = old / new
  reach = max(scale, 1.0)
  centre = (np.arange(new) + 0.5) * scale
  first = np.maximum((centre - reach + 0.5).astype(np.int64), 0)
  end = np.minimum((centre + reach + 0.5).astype(np.int64), old)
  index = first[:, None] + np.arange(math.ceil(reach) * 2 + 1)
  weights = np.maximum(1 - np.abs((index - centre[:, None] + 0.5) / reach), 0)
  weights = np.where(index < end[:, None], weights, 0)
  weights /= weights.sum(1, keepdims=True)
  fixed = np.floor(0.5 + weights * (1 << _PRECISION_BITS)).astype(np.int32)
  return np.minimum(index, old - 1), fixed


def resize_bytes(
  x: UInt8[AnyArray, "n h w c"], size: tuple[int, int]
) -> UInt8[Array, "n height width c"]:
  """Equal to Pillow's `resize(..., BILINEAR)` in every byte.

  Args:
    x: images, 0 to 255.
    size: rows and columns of the result.
  """
  for axis in (2, 1):  # Pillow filters rows first and rounds in between
    if x.shape[axis] == size[axis - 1]:
      continue
    index, weights = _taps(x.shape[axis], size[axis - 1])
    shape = [1] * 4
    shape[axis] = -1
    total = 1 << (_PRECISION_BITS - 1)  # rounds to nearest
    for i in range(index.shape[1]):
      taken = jnp.take(x, index[:, i], axis=axis).astype(jnp.int32)
      total = total + taken * weights[:, i].reshape(shape)
    x = jnp.clip(total >> _PRECISION_BITS, 0, 255).astype(jnp.uint8)
  return jnp.asarray(x)


class ResizeTo:
  """Frames of any size brought to a fixed one, as published weights expect.

  The aspect ratio is not kept.

  Args:
    size: rows and columns of the frames.
    network_size: rows and columns that they are brought to.
    back: how masks go there and predictions come back, without antialiasing.
      "bilinear" has half-pixel centres, "aligned" keeps the corner pixels' centres,
      "nearest" takes the nearest pixel.
  """

  def __init__(
    self,
    size: tuple[int, int],
    network_size: tuple[int, int],
    back: Literal["bilinear", "aligned", "nearest"] = "bilinear",
  ):
    self.size = tuple(size)
    self.padded_size = tuple(network_size)
    self._back = back

  def frames(self, x: Float[AnyArray, "n h w 3"]) -> Float[Array, "n height width 3"]:
    """Resizes RGB in [0, 1] that came from bytes."""
    if self.size == self.padded_size:
      return jnp.asarray(x)
    pixels = jnp.round(x * 255).astype(jnp.uint8)
    return resize_bytes(pixels, self.padded_size).astype(x.dtype) / 255

  def masks(self, x: Float[AnyArray, "b o h w"]) -> Float[Array, "b o height width"]:
    """Resizes masks."""
    return self._resize(x, self.padded_size)

  def restore(self, x: Float[Array, "b o height width"]) -> Float[Array, "b o h w"]:
    """Resizes what was predicted for resized frames."""
    return self._resize(x, self.size)

  def _resize(self, x, size):
    if x.shape[2:] == size:
      return jnp.asarray(x)
    if self._back == "aligned":
      maps = jnp.moveaxis(jnp.asarray(x), 1, -1)
      return jnp.moveaxis(resize.bilinear(maps, size, align_corners=True), -1, 1)
    shape = (*x.shape[:2], *size)
    return jax.image.resize(x, shape, self._back, antialias=False)
