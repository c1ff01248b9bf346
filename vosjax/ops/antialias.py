"""Pillow's antialiased bilinear resizing of bytes, bit for bit, on any device.

Published weights were trained on frames that Pillow had resized. A plain bilinear
filter gives other results when it shrinks an image.
"""

import functools
import math
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from vosjax.ops import resize
from vosjax.types import AnyArray

_PRECISION_BITS = 32 - 8 - 2  # fractional bits of Pillow's weights


@functools.cache
def _taps(old: int, new: int) -> tuple[np.ndarray, np.ndarray]:
  """Source pixels of each pixel of the result, and their fixed-point weights."""
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
    total: Any = 1 << (_PRECISION_BITS - 1)  # rounds to nearest
    for i in range(index.shape[1]):
      taken = jnp.take(x, index[:, i], axis=axis).astype(jnp.int32)
      total = total + taken * weights[:, i].reshape(shape)
    x = jnp.clip(total >> _PRECISION_BITS, 0, 255).astype(jnp.uint8)
  return jnp.asarray(x)


class ResizeTo:
  """Resizes frames to the size that published weights expect, and predictions back.

  The aspect ratio is not preserved.

  Args:
    original_size: rows and columns of the frames.
    framed_size: rows and columns to which they are resized.
    back: how masks and predictions are resized, without antialiasing. "bilinear" has
      half-pixel centres, "aligned" keeps the centres of the corner pixels in place,
      "nearest" takes the nearest pixel.
  """

  def __init__(
    self,
    original_size: tuple[int, int],
    framed_size: tuple[int, int],
    back: Literal["bilinear", "aligned", "nearest"] = "bilinear",
  ):
    self.original_size: tuple[int, int] = (original_size[0], original_size[1])
    self.framed_size: tuple[int, int] = (framed_size[0], framed_size[1])
    self._back = back

  def frames(self, x: Float[AnyArray, "n h w 3"]) -> Float[Array, "n height width 3"]:
    """Resizes RGB in [0, 1] that was converted from bytes."""
    if self.original_size == self.framed_size:
      return jnp.asarray(x)
    pixels = jnp.round(x * 255).astype(jnp.uint8)
    return resize_bytes(pixels, self.framed_size).astype(x.dtype) / 255

  def masks(self, x: Float[AnyArray, "b o h w"]) -> Float[Array, "b o height width"]:
    """Resizes masks to the framed size."""
    return self._resize(x, self.framed_size)

  def restore(self, x: Float[Array, "b o height width"]) -> Float[Array, "b o h w"]:
    """Resizes predictions to the original size."""
    return self._resize(x, self.original_size)

  def _resize(
    self, x: Float[AnyArray, "b o _ _"], size: tuple[int, int]
  ) -> Float[Array, "b o _ _"]:
    if x.shape[2:] == size:
      return jnp.asarray(x)
    if self._back == "aligned":
      maps = jnp.moveaxis(jnp.asarray(x), 1, -1)
      return jnp.moveaxis(resize.bilinear(maps, size, align_corners=True), -1, 1)
    shape = (*x.shape[:2], *size)
    return jax.image.resize(x, shape, self._back, antialias=False)
