"""Binary masks packed into 64-bit words: boundaries, disk dilation, counts.

Packed masks are uint64 [n h words]; bit i of word k in a row is column 64 k + i, and
bits beyond the last column are 0. `crop` leaves zero words at the end of each row, so
that all rows can be shifted together as one flat run of bits.
"""

import functools
import math

import numpy as np
from jaxtyping import Bool, Int, UInt64

Packed = UInt64[np.ndarray, "_ _ _"]

_WORD = 64


def pack(masks: Bool[np.ndarray, "n h w"] | list[Bool[np.ndarray, "h w"]]) -> Packed:
  """Packs masks."""
  h, w = masks[0].shape
  packed = np.zeros((len(masks), h, -(-w // _WORD) * 8), np.uint8)
  for mask, row_bytes in zip(masks, packed):
    row_bytes[:, : -(-w // 8)] = np.packbits(mask, axis=-1, bitorder="little")
  return packed.view("<u8").astype(np.uint64, copy=False)


def unpack(packed: Packed, width: int) -> Bool[np.ndarray, "n h {width}"]:
  """The inverse of `pack`, for masks of `width` columns."""
  octets = packed.astype("<u8", copy=False).view(np.uint8)
  return np.unpackbits(octets, axis=-1, count=width, bitorder="little").view(bool)


def count(packed: UInt64[np.ndarray, "*n h words"]) -> Int[np.ndarray, "*n"]:
  """Number of set pixels of each mask."""
  return np.bitwise_count(packed).sum((-2, -1), dtype=np.int64)


def crop(packed: Packed, width: int, *, margin: int) -> tuple[Packed, int]:
  """Cuts out the window that holds all set pixels of all masks.

  The window is one pixel larger than needed on sides where the image is larger, so that
  boundaries are the same in the window as in the image.

  Args:
    packed: masks without a margin.
    width: number of columns of the image.
    margin: number of zero bits to add at the end of each row.

  Returns:
    The masks in the window, and its number of columns. If no pixel is set, the window
    is a single word.
  """
  occupied = np.bitwise_or.reduce(packed, axis=0)
  columns = np.bitwise_or.reduce(occupied, axis=0)
  rows = np.flatnonzero(np.bitwise_or.reduce(occupied, axis=1))
  words = np.flatnonzero(columns)
  if not rows.size:
    rows = words = np.zeros(1, np.int64)
  top, bottom = max(rows[0] - 1, 0), rows[-1] + 2
  left, right = words[0], words[-1] + 1
  if left and columns[left] & 1:
    left -= 1
  if right < len(columns) and columns[right - 1] >> (_WORD - 1):
    right += 1
  inside = packed[:, top:bottom, left:right]
  window = np.zeros((*inside.shape[:2], right - left + -(-margin // _WORD)), np.uint64)
  window[..., : right - left] = inside
  return window, int(min(right * _WORD, width) - left * _WORD)


def boundaries(packed: Packed, width: int) -> Packed:
  """Pixels that differ from their right, lower or lower-right neighbour.

  The image is padded by repeating its last row and column, so that its border is not a
  boundary.

  Args:
    packed: masks, with at least one word of margin if there are several rows.
    width: number of columns without the margin.
  """
  n, _, words = packed.shape
  right = packed >> 1
  right.reshape(-1)[:-1] |= packed.reshape(-1)[1:] << (_WORD - 1)
  # The last column is its own right neighbour; bits carried over from the next row go.
  word, bit = divmod(width - 1, _WORD)
  last = 1 << bit
  right[..., word] = right[..., word] & (last - 1) | packed[..., word] & last
  right[..., word + 1 :] = 0
  edges = packed ^ right
  here, upper = packed.reshape(n, -1)[:, :-words], edges.reshape(n, -1)[:, :-words]
  upper |= here ^ packed.reshape(n, -1)[:, words:]
  upper |= here ^ right.reshape(n, -1)[:, words:]
  return edges


def dilate(packed: Packed, radius: int) -> Packed:
  """Dilates masks by the disk dx^2 + dy^2 <= radius^2.

  The disk is a union of horizontal segments. Masks dilated by the segments are computed
  from the shortest to the longest, each from the one before.

  Args:
    packed: masks with a margin of at least `radius` bits.
    radius: radius in pixels.

  Returns:
    The dilated masks; bits in the margin are undefined.
  """
  n, height, words = packed.shape
  segments = packed.reshape(n, -1).copy()
  result = np.zeros_like(segments)
  length = 0
  for half_width, rows in _disk(radius):
    while length < half_width:
      step = min(half_width - length, 2 * length + 1, _WORD - 1)
      _widen(segments.reshape(-1), step)
      length += step
    for dy in rows:
      if dy == 0:
        result |= segments
      elif dy < height:
        result[:, dy * words :] |= segments[:, : -dy * words]
        result[:, : -dy * words] |= segments[:, dy * words :]
  return result.reshape(packed.shape)


@functools.cache
def _disk(radius: int) -> tuple[tuple[int, tuple[int, ...]], ...]:
  """Half-widths of a disk's rows, ascending, each with its distances dy >= 0."""
  rows: dict[int, list[int]] = {}
  for dy in range(radius, -1, -1):
    rows.setdefault(math.isqrt(radius * radius - dy * dy), []).append(dy)
  return tuple((half_width, tuple(dys)) for half_width, dys in rows.items())


def _widen(flat: UInt64[np.ndarray, " words"], step: int) -> None:
  """Sets, in place, the bits `step` columns to the left and right of set bits."""
  later, earlier = flat << step, flat >> step
  later[1:] |= flat[:-1] >> (_WORD - step)
  earlier[:-1] |= flat[1:] << (_WORD - step)
  flat |= later
  flat |= earlier
