"""Tells label maps from masks whose edges were blended by an editor or by resizing.

A label map holds areas of one value with sharp edges. Where a mask was drawn with
anti-aliasing, resized with interpolation or compressed with loss, values between those
of two neighbours appear along their border, one or two pixels wide, and nowhere else.
"""

import dataclasses
from typing import Literal

import numpy as np
from jaxtyping import Bool, Integer, UInt8

from vosjax.data.codecs.neighbours import extremes, find_pairs, is_solid
from vosjax.labels import VOID

_FEW_PAIRS = 16  # neighbours of different value; fewer say nothing
_BLENDED_IDS = 0.5  # of the borders of ids 1 to n; at most 0.33 in DAVIS at 120 rows
_BLENDED_VALUES = 0.2  # of the borders of any other set of values
_MAX_RAMP = 4.0  # pixels between two areas of full value, for an edge to be thin
_RAMP = (0.1, 0.9)  # of the step between two areas
_DIM = 0.25  # of the step between two areas, from which on a value is an area's own
_EDGE = 4  # pixels that an edge may be wide
_SOLID = 0.02  # of the pixels of a value that forms areas
_MANY_BETWEEN = 4  # values without an area; fewer may be objects or void
_TOUCHING = 0.1  # of the borders of areas
_NOISE = 1.2  # neighbours of another value per pixel, of at most 2
_SLOPES = 0.12  # of the borders in a row; at most 0.07 in DAVIS, 0.15 in soft masks
_SPECKS = 0.6  # of the borders in a row, for noise; at most 0.24 in DAVIS
_STRIDE = 12  # between the rows that the quick look samples
_TALL = 64  # rows; the quick look takes every row of smaller images


@dataclasses.dataclass(frozen=True)
class Edges:
  """What the borders in a map of values are like.

  Attributes:
    kind: "sharp" in a label map, also one of thin or tiny objects; "thin" where two
      values blend along their border, so that half of the step is the outline;
      "blended" where more than two do; "gradual" where there are no areas of one
      value, as in a map of probabilities.
    levels: the values of the areas, in ascending order; empty for sharp edges.
  """

  kind: Literal["sharp", "thin", "blended", "gradual"]
  levels: tuple[int, ...] = ()


SHARP = Edges("sharp")


def may_be_soft(values: UInt8[np.ndarray, "h w"]) -> bool:
  """A quick look at some rows: whether `find_edges` may find anything but sharp edges.

  Takes one or two percent of the time that decoding a label map of 480 rows takes.
  """
  rows = values[_STRIDE // 2 :: _STRIDE] if len(values) >= _TALL else values
  pixels = rows.reshape(-1)
  changes = (pixels[1:] != pixels[:-1]).nonzero()[0]
  if not len(changes):
    return len(rows) < len(values)  # objects may lie between the sampled rows
  short = (changes[1:] - changes[:-1] <= 2).nonzero()[0]
  if len(short) < _SLOPES * len(changes):
    return False
  before, inside = pixels[changes[short]], pixels[changes[short] + 1]
  after = pixels[changes[short + 1] + 1]
  slopes = np.count_nonzero((before < inside) == (inside < after))
  return bool(slopes >= _SLOPES * len(changes) or len(short) >= _SPECKS * len(changes))


def find_edges(values: UInt8[np.ndarray, "h w"]) -> Edges:
  """Finds out whether borders are sharp, and if not, which areas they separate.

  Ids 1 to n are believed unless most of the borders that can be blended look so.
  """
  present = np.flatnonzero(np.bincount(values.reshape(-1), minlength=256))
  if len(present) <= 2:
    return SHARP
  low, high = extremes(values)
  between = (low < values) & (values < high)
  consecutive = are_consecutive(present)
  highest = present[present < VOID][-1] if consecutive else present[-1]
  tolerance = int(highest) // 32
  if consecutive:
    soft = _ids_blend(values, between)
  else:
    soft = _values_blend(values, low, high, tolerance)
  levels = _levels(values[high - low <= tolerance], tolerance) if soft else ()
  if not soft or (consecutive and len(levels) < 2):  # also wires, without an interior
    return Edges("gradual") if _is_noise(values, low == high) else SHARP
  if len(levels) > 2:
    return Edges("blended", levels)
  if len(levels) == 2 and _is_thin(values, *levels):
    if dim := _find_dim_area(values, *levels):
      return Edges("blended", (levels[0], dim, levels[1]))
    return Edges("thin", levels)
  return Edges("gradual", levels)


def are_consecutive(present: Integer[np.ndarray, " n"]) -> bool:
  """Whether values, in ascending order, are ids 1 to n, perhaps with 0 and void."""
  ids = present[(present > 0) & (present < VOID)]
  return np.array_equal(ids, np.arange(1, len(ids) + 1))


def find_blended_colors(
  colors: UInt8[np.ndarray, "h w 3"],
) -> UInt8[np.ndarray, "n 3"] | None:
  """The colours of areas, if other colours blend them along their borders.

  Returns:
    The colours that form areas; None if no colours are blended.
  """
  packed = pack_colors(colors)
  present, indices = np.unique(packed, return_inverse=True)
  if len(present) <= 2:
    return None
  indices = indices.reshape(packed.shape)
  count = np.bincount(indices.reshape(-1))
  solid = np.bincount(indices[is_solid(indices)], minlength=len(present))
  has_area = solid > count * _SOLID
  thin = ~has_area[indices]
  soft = thin & _is_between(colors)
  if not soft.any() or np.count_nonzero(soft) * 2 < np.count_nonzero(thin):
    return None
  _, flags = find_pairs(indices, soft)
  if flags.any(1).mean() < _BLENDED_VALUES:
    return None
  areas = present[has_area]
  return np.stack([areas >> 16, areas >> 8 & 255, areas & 255], -1).astype(np.uint8)


def pack_colors(colors: UInt8[np.ndarray, "*s 3"]) -> Integer[np.ndarray, "*s"]:
  """One number per colour: 65536 red + 256 green + blue."""
  red, green, blue = np.moveaxis(colors.astype(np.int32), -1, 0)
  return red * 65536 + green * 256 + blue


def _is_between(colors: UInt8[np.ndarray, "h w c"]) -> Bool[np.ndarray, "h w"]:
  """Where a colour lies strictly between those of its eight neighbours."""
  between = np.zeros(colors.shape[:2], bool)
  outside = np.zeros(colors.shape[:2], bool)
  for channel in np.moveaxis(colors, -1, 0):
    low, high = extremes(channel)
    inside = (low < channel) & (channel < high)
    between |= inside
    outside |= ~inside & (low < high)
  return between & ~outside


def _is_noise(values: UInt8[np.ndarray, "h w"], solid: Bool[np.ndarray, "h w"]) -> bool:
  """Whether values that form no areas border on each other nearly everywhere."""
  has_area = np.bincount(values[solid], minlength=256) > 0
  has_area[0] = True
  thin = ~has_area[values]
  _, flags = find_pairs(values, thin)
  size = max(int(np.count_nonzero(thin)), _FEW_PAIRS)
  return bool(flags.all(1).sum() >= _NOISE * size)


def _ids_blend(
  values: UInt8[np.ndarray, "h w"], between: Bool[np.ndarray, "h w"]
) -> bool:
  """Whether most borders of the ids above 1 pass through values in between."""
  pairs, flags = find_pairs(values, between)
  blendable = (pairs.max(1) > 1) & (pairs.max(1) < VOID)
  if np.count_nonzero(blendable) < _FEW_PAIRS:
    return False
  return bool(flags[blendable].any(1).mean() >= _BLENDED_IDS)


def _values_blend(
  values: UInt8[np.ndarray, "h w"],
  low: UInt8[np.ndarray, "h w"],
  high: UInt8[np.ndarray, "h w"],
  tolerance: int,
) -> bool:
  """Whether values without an area lie between others, or are noise around them."""
  count = np.bincount(values.reshape(-1), minlength=256)
  solid = np.bincount(values[low == high], minlength=256)
  has_area = solid > count * _SOLID
  thin = ~has_area[values]
  if not thin.any():
    return False
  if _areas_are_apart(values, has_area):
    return True
  soft = thin & (low < values) & (values < high)
  soft |= _speckles(values, thin & ~soft, low, high, tolerance)
  if np.count_nonzero(soft) * 2 < np.count_nonzero(thin):
    return False
  _, flags = find_pairs(values, soft)
  return bool(flags.any(1).mean() >= _BLENDED_VALUES)


def _areas_are_apart(
  values: UInt8[np.ndarray, "h w"], has_area: Bool[np.ndarray, "256"]
) -> bool:
  """Whether several values without an area lie between nearly all areas.

  Resizing that sharpens makes values beyond those of the areas as well.
  """
  present = np.bincount(values.reshape(-1), minlength=256) > 0
  areas, others = present & has_area, present & ~has_area
  areas[0] = False
  if areas.sum() < 2 or others.sum() < _MANY_BETWEEN:
    return False
  pairs, _ = find_pairs(values, np.zeros(values.shape, bool))
  pairs = pairs[areas[pairs].any(1)]
  return bool(has_area[pairs].all(1).mean() < _TOUCHING)


def _speckles(
  values: UInt8[np.ndarray, "h w"],
  candidates: Bool[np.ndarray, "h w"],
  low: UInt8[np.ndarray, "h w"],
  high: UInt8[np.ndarray, "h w"],
  tolerance: int,
) -> Bool[np.ndarray, "h w"]:
  """Candidates that differ little from their neighbours and touch none of their own."""
  near = ((low < values) & (values - low <= tolerance)) | (
    (values < high) & (high - values <= tolerance)
  )
  found = candidates & near
  y, x = np.nonzero(found)
  padded = np.pad(values.astype(np.int16), 1, constant_values=-1)
  same = sum(
    padded[y + dy, x + dx] == values[y, x]
    for dy in range(3)
    for dx in range(3)
    if (dy, dx) != (1, 1)
  )
  found[y, x] = same <= 1
  return found


def _levels(flat: UInt8[np.ndarray, " n"], tolerance: int) -> tuple[int, ...]:
  """Most frequent value of each group of values that are at most `tolerance` apart."""
  count = np.bincount(flat, minlength=256)
  present = np.flatnonzero(count)
  if not len(present):
    return ()
  groups = np.split(present, np.flatnonzero(np.diff(present) > tolerance) + 1)
  enough = 0.01 * count[groups[0][-1] + 1 :].sum()
  return tuple(
    int(group[count[group].argmax()])
    for group in groups
    if count[group].sum() >= max(enough, 1)
  )


def _is_thin(values: UInt8[np.ndarray, "h w"], low: int, high: int) -> bool:
  """Whether the values between two levels only line the outline half-way between."""
  start, end = (low + part * (high - low) for part in _RAMP)
  ramp = np.count_nonzero((values > start) & (values < end))
  inside = values > (low + high) / 2
  across, down = inside[:, 1:] != inside[:, :-1], inside[1:] != inside[:-1]
  outline = np.count_nonzero(across) + np.count_nonzero(down)
  return bool(ramp <= _MAX_RAMP * outline)


def _find_dim_area(values: UInt8[np.ndarray, "h w"], low: int, high: int) -> int:
  """The value of an area between two levels that is not along an edge; 0 without one.

  So looks a small object of another value with soft edges of its own.
  """
  near = values > (low + high) / 2
  solid = extremes(values)[0] > low + _DIM * (high - low)
  for _ in range(_EDGE):
    if not (solid & ~near).any():
      return 0
    near = extremes(near)[1]
  far = solid & ~near
  return int(values[far].max()) if far.any() else 0
