"""Binary masks packed into 64-bit words: boundaries, disk dilation, counts.

A packed mask is `[n, h, words]` uint64; bit i of word k in a row is column
64 k + i. Rows end in a margin of zero bits, so that all rows of a stack can be
shifted as one flat run of words without touching each other.
"""

import functools
import math

import numpy as np
from jaxtyping import Bool, Int, UInt64

Packed = UInt64[np.ndarray, "n h words"]

_WORD = 64


def pack(masks: Bool[np.ndarray, "n h w"], *, margin: int = 1) -> Packed:
  """Packs the rows of masks, with at least `margin` zero bits behind each row."""
  n, h, w = masks.shape
  words = -(-(w + margin) // _WORD)
  packed = np.zeros((n, h, words * 8), np.uint8)
  packed[..., : -(-w // 8)] = np.packbits(masks, axis=-1, bitorder="little")
  return packed.view("<u8").astype(np.uint64, copy=False)


def unpack(packed: Packed, width: int) -> Bool[np.ndarray, "n h {width}"]:
  """The masks whose rows `pack` packed."""
  octets = packed.astype("<u8", copy=False).view(np.uint8)
  return np.unpackbits(octets, axis=-1, count=width, bitorder="little").view(bool)


def count(packed: Packed) -> Int[np.ndarray, " n"]:
  """Number of set bits of each mask."""
  return np.bitwise_count(packed).sum((-2, -1), dtype=np.int64)


def boundaries(packed: Packed, width: int) -> Packed:
  """Pixels that differ from their right, lower or lower-right neighbour.

  The last row and column are repeated beyond the border, so that a mask has no
  boundary along the border of the image.
  """
  right = packed >> 1
  right[..., :-1] |= packed[..., 1:] << 63
  word, bit = divmod(width - 1, _WORD)
  last = np.uint64(1 << bit)
  right[..., word] |= packed[..., word] & last
  edges = packed ^ right
  below = slice(1, None), slice(None, -1)  # a row, and the row above it
  edges[:, below[1]] |= packed[:, below[1]] ^ packed[:, below[0]]
  edges[:, below[1]] |= packed[:, below[1]] ^ right[:, below[0]]
  return edges


def crop(packed: Packed, *, margin: int) -> UInt64[np.ndarray, "n rows columns"]:
  """The rows and words that hold any set bit, with a new margin behind each row."""
  occupied = np.bitwise_or.reduce(packed, axis=0)
  rows = np.flatnonzero(occupied.any(1))
  words = np.flatnonzero(occupied.any(0))
  if not rows.size:
    return packed[:, :0]
  height = rows[-1] - rows[0] + 1
  width = words[-1] - words[0] + 1
  cropped = np.zeros((len(packed), height, width + -(-margin // _WORD)), np.uint64)
  cropped[..., :width] = packed[
      :, rows[0] : rows[-1] + 1, words[0] : words[-1] + 1
  ]
  return cropped


def dilate(packed: Packed, radius: int) -> Packed:
  """Dilation by the disk dx^2 + dy^2 <= radius^2, centre included.

  The disk is a stack of row segments; the segments, shortest first, grow out of
  each other. Outside of the image nothing is set.

  Args:
    packed: masks with a margin of at least `radius` bits.
    radius: in pixels.

  Returns:
    The dilated masks. Bits in the margin mean nothing.
  """
  segments = packed.copy()
  result = np.zeros_like(packed)
  length = 0
  for half_width, rows in _disk(radius):
    while length < half_width:
      step = min(half_width - length, 2 * length + 1)
      _widen(segments, step)
      length += step
    for dy in rows:
      if dy == 0:
        result |= segments
      elif dy < packed.shape[1]:
        result[:, dy:] |= segments[:, :-dy]
        result[:, :-dy] |= segments[:, dy:]
  return result


@functools.cache
def _disk(radius: int) -> tuple[tuple[int, tuple[int, ...]], ...]:
  """Half-widths of a disk's rows, ascending, each with the rows that have it."""
  rows: dict[int, list[int]] = {}
  for dy in range(radius, -1, -1):
    rows.setdefault(math.isqrt(radius * radius - dy * dy), []).append(dy)
  return tuple((half_width, tuple(dys)) for half_width, dys in rows.items())


def _widen(packed: Packed, step: int) -> None:
  """Sets, in place, the bits `step` columns left and right of the set ones."""
  flat = packed.reshape(-1)
  words, bits = divmod(step, _WORD)
  source = flat.copy()
  n = len(flat) - words
  flat[words:] |= source[:n] << bits
  flat[:n] |= source[words:] >> bits
  if bits:
    flat[words + 1 :] |= source[: n - 1] >> (_WORD - bits)
    flat[: n - 1] |= source[words + 1 :] << (_WORD - bits)
