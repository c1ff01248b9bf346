"""Resizing as OpenCV does it, without antialiasing when images shrink.

The released COSNet augments with `cv2.resize`; these functions give the same bytes.
"""

import numpy as np
from jaxtyping import Int, UInt8

_ONE = 2048  # 1.0 as a fixed-point weight with 11 fractional bits


def resize_nearest(
  image: UInt8[np.ndarray, "h w"], size: tuple[int, int]
) -> UInt8[np.ndarray, "a b"]:
  """Takes the pixel at or before each sampling point; `size` is (height, width)."""
  rows, columns = (
    np.minimum((np.arange(n) * (1 / (n / old))).astype(np.int64), old - 1)
    for n, old in zip(size, image.shape)
  )
  return image[rows[:, None], columns]


def resize_linear(
  image: UInt8[np.ndarray, "h w c"], size: tuple[int, int]
) -> UInt8[np.ndarray, "a b c"]:
  """Interpolates in fixed-point arithmetic; `size` is (height, width)."""
  top, bottom, (up, down) = _neighbours(image.shape[0], size[0])
  left, right, (before, after) = _neighbours(image.shape[1], size[1])
  image = image.astype(np.int64)
  rows = image[:, left] * before[:, None] + image[:, right] * after[:, None]
  up, down = up[:, None, None], down[:, None, None]
  upper = (up * (rows[top] >> 4)) >> 16
  lower = (down * (rows[bottom] >> 4)) >> 16
  return ((upper + lower + 2) >> 2).astype(np.uint8)


def _neighbours(
  old: int, new: int
) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"], Int[np.ndarray, "2 n"]]:
  """For each new pixel, the old ones before and after it, and their weights."""
  position = ((np.arange(new) + 0.5) * (1 / (new / old)) - 0.5).astype(np.float32)
  first = np.floor(position).astype(np.int64)
  fraction = position - first.astype(np.float32)
  weights = np.rint(np.stack([1 - fraction, fraction]) * np.float32(_ONE))
  first, second = (np.clip(first + k, 0, old - 1) for k in (0, 1))
  return first, second, weights.astype(np.int64)
