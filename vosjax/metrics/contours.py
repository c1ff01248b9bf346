"""Outlines of a mask as simplified polygons, the input of temporal stability.

Coordinates are (row, column) of pixel corners, doubled: corners are (even, even), and
a *crack*, the unit edge between two different pixels, has its midpoint at (odd, even)
if it is vertical and at (even, odd) if it is horizontal. Cracks form chains called
*pieces*, which end at *junctions*: saddles, where two pixels touch diagonally, and one
arbitrary corner of each outline that has no saddle. Pieces form closed loops.

The order of everything is that of the DAVIS 2016 toolkit, since ties depend on it.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Int, Int64

Polygon = Int64[np.ndarray, "_ 2"]  # (x, y) of pixel corners; the last is the first
_TOLERANCES = (0.1, 3.0)  # of the two rounds of simplification, in half pixels


class _Piece(NamedTuple):
  """Cracks between two junctions, as flat indices of their midpoints."""

  start: int
  end: int
  midpoints: list[int]


def polygons(mask: Bool[np.ndarray, "h w"]) -> list[Polygon]:
  """Simplified outlines of a mask.

  Outer outlines run clockwise on the screen, holes counterclockwise. Outlines with
  fewer than three distinct vertices are left out.

  Source: the C++ part of the DAVIS 2016 toolkit (Perazzi et al., CVPR 2016), whose
  vertices these are.
  """
  cracks = _Cracks(mask)
  result = []
  for loop in _loops(*_pieces(cracks), cracks.stride):
    corners = cracks.corners(*loop)
    hole = cracks.is_hole(loop[1])
    for tolerance in _TOLERANCES:
      corners = _simplify(corners, tolerance)
    if hole == (_doubled_area(corners) > 0):
      corners = corners[::-1]
    if len(corners) > 3:
      result.append((corners[:, ::-1] // 2).astype(np.int64))
  return result


def longest_polygon(mask: Bool[np.ndarray, "h w"]) -> Polygon | None:
  """The polygon with the most vertices, the last one of several; None if none exist."""
  found = polygons(mask)
  return max(reversed(found), key=len) if found else None


class _Cracks:
  """Cracks of a mask as flags on the doubled grid, which has an empty margin of one.

  Positions are flat indices. A direction is the step from a corner to the midpoint of a
  crack; the next corner is two such steps away.

  Attributes:
    stride: number of columns of the grid.
    flags: 1 at the midpoints of cracks that no piece has used yet.
    saddles: corners where two pixels touch diagonally.
    vertical: midpoints of all vertical cracks.
  """

  def __init__(self, mask: Bool[np.ndarray, "h w"]):
    height, width = mask.shape
    padded = np.pad(mask, 1)
    grid = np.zeros((2 * height + 3, 2 * width + 3), bool)
    grid[2:-1:2, 1:-1:2] = padded[1:-1, 1:] != padded[1:-1, :-1]
    grid[1:-1:2, 2:-1:2] = padded[1:, 1:-1] != padded[:-1, 1:-1]
    across = grid[1:-1:2, :-1:2] & grid[1:-1:2, 2::2]
    saddles = across & grid[:-1:2, 1:-1:2] & grid[2::2, 1:-1:2]
    self.stride = grid.shape[1]
    self.flags = bytearray(grid.tobytes())
    self.saddles = self._flat(2 * np.argwhere(saddles) + 1)
    self.vertical = self._flat(np.argwhere(grid[2:-1:2, 1:-1:2]) * 2 + (2, 1))
    self._mask = padded

  def _flat(self, points: Int64[np.ndarray, "n 2"]) -> list[int]:
    return (points[:, 0] * self.stride + points[:, 1]).tolist()

  def corners(self, anchor: int, midpoints: list[int]) -> Float64[np.ndarray, "n 2"]:
    """Corners (row, column) of a loop, from its anchor back to its anchor."""
    steps = np.array(midpoints, np.int64)
    # Each corner is the one before, mirrored at the midpoint of the crack between them.
    signs = 1 - 2 * (np.arange(len(steps)) % 2)
    mirrored = np.cumsum(2 * steps * signs) * signs
    corners = np.concatenate([[anchor], mirrored + anchor * -signs])
    return np.stack(np.divmod(corners, self.stride), 1).astype(np.float64) - 1

  def is_hole(self, midpoints: list[int]) -> bool:
    """Whether the loop lies inside an odd number of other loops."""
    row, column = divmod(
      min(m for m in midpoints if not m // self.stride % 2), self.stride
    )
    # The pixel left of the first vertical crack of the loop is outside the loop, so it
    # is foreground only if other loops enclose it.
    return bool(self._mask[row // 2, column // 2])


def _pieces(cracks: _Cracks) -> tuple[list[int], list[_Piece]]:
  """All junctions in the toolkit's order, and the pieces between them."""
  flags, stride = cracks.flags, cracks.stride
  directions = (1, stride, -1, -stride)
  junctions = list(cracks.saddles)
  ends = set(junctions)
  pieces = []

  def walk(corner: int, direction: int) -> None:
    """Follows cracks from a junction to the next one and adds the piece."""
    start = corner
    midpoints: list[int] = []
    while True:
      midpoint = corner + direction
      flags[midpoint] = 0
      midpoints.append(midpoint)
      corner = midpoint + direction
      if corner in ends:
        pieces.append(_Piece(start, corner, midpoints))
        return
      if not flags[midpoint + 2 * direction]:
        side = stride if direction in (1, -1) else 1
        direction = side if flags[corner + side] else -side

  for corner in reversed(junctions):
    for direction in reversed(directions):
      if flags[corner + direction]:
        walk(corner, direction)
  for crack in cracks.vertical:
    if flags[crack]:
      corner = crack - stride
      junctions.append(corner)
      ends.add(corner)
      walk(corner, stride)
  return junctions, pieces


def _loops(
  junctions: list[int], pieces: list[_Piece], stride: int
) -> list[tuple[int, list[int]]]:
  """Closed loops as (anchor, midpoints in the order of the walk)."""
  unused: dict[int, list[int]] = {junction: [] for junction in junctions}
  for number, piece in enumerate(pieces):
    for junction in dict.fromkeys((piece.start, piece.end)):
      unused[junction].append(number)
  loops = []
  for first in reversed(junctions):
    while unused[first]:
      loops += _trail(first, unused, pieces, stride)
  return loops


def _trail(
  first: int, unused: dict[int, list[int]], pieces: list[_Piece], stride: int
) -> list[tuple[int, list[int]]]:
  """Walks along unused pieces from one junction; returns the loops this closes.

  Whenever the walk comes back to a junction on its trail, the part of the trail since
  then is a loop and is cut off. The walk ends with an empty trail.
  """
  loops: list[tuple[int, list[int]]] = []
  trail: list[tuple[int, _Piece]] = []
  position: dict[int, int] = {}  # junction -> index in the trail
  here, number = first, unused[first][0]
  while True:
    piece = pieces[number]
    for junction in {piece.start, piece.end}:
      unused[junction].remove(number)
    position[here] = len(trail)
    trail.append((here, piece))
    here = piece.end if piece.start == here else piece.start
    if here in position:
      cut = position[here]
      loops.append((here, _joined(trail[cut:])))
      for junction, _ in trail[cut:]:
        del position[junction]
      del trail[cut:]
      if not trail:
        return loops
      piece = trail[-1][1]
    number = _turn(here, piece, unused[here], pieces, stride)


def _turn(
  here: int, piece: _Piece, candidates: list[int], pieces: list[_Piece], stride: int
) -> int:
  """The first candidate to continue `piece`, or the second if the first is straight."""
  lowest = candidates[0]
  if len(candidates) > 1:
    row, column = divmod(_touching(piece, here), stride)
    next_row, next_column = divmod(_touching(pieces[lowest], here), stride)
    if row == next_row or column == next_column:
      return candidates[1]
  return lowest


def _touching(piece: _Piece, junction: int) -> int:
  """The midpoint of the crack at one end of a piece."""
  return piece.midpoints[0 if piece.start == junction else -1]


def _joined(trail: list[tuple[int, _Piece]]) -> list[int]:
  """Midpoints of consecutive pieces in walking order."""
  midpoints: list[int] = []
  for junction, piece in trail:
    forwards = piece.start == junction
    midpoints += piece.midpoints if forwards else piece.midpoints[::-1]
  return midpoints


def _simplify(
  points: Float64[np.ndarray, "n 2"], tolerance: float
) -> Float64[np.ndarray, "m 2"]:
  """Drops points closer than the tolerance to the one before, then Douglas-Peucker."""
  if len(points) < 3:
    return points
  points = points[_apart(points, tolerance * tolerance)]
  if len(points) < 3:
    return points
  return points[_douglas_peucker(points, tolerance * tolerance)]


def _apart(points: Float64[np.ndarray, "n 2"], squared: float) -> list[int]:
  """Indices of the first and last point, and of those far from the last one kept."""
  kept = [0]
  last_y, last_x = points[0]
  for i, (y, x) in enumerate(points[1:-1].tolist(), start=1):
    if (y - last_y) ** 2 + (x - last_x) ** 2 >= squared:
      kept.append(i)
      last_y, last_x = y, x
  return [*kept, len(points) - 1]


def _douglas_peucker(
  points: Float64[np.ndarray, "n 2"], squared: float
) -> Int[np.ndarray, " m"]:
  """Indices of the points to keep; all segments of one level are split at once."""
  kept = np.array([0, len(points) - 1])
  indices = np.arange(len(points))
  first, last = kept[:-1], kept[1:]
  while first.size:
    lengths = last - first - 1
    begins = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    segment = np.repeat(np.arange(len(first)), lengths)
    inside = np.arange(len(segment)) - begins[segment] + first[segment] + 1
    distances = _segment_distances(
      points[inside], points[first[segment]], points[last[segment]]
    )
    largest = np.maximum.reduceat(distances, begins)
    at_largest = np.where(distances == largest[segment], indices[inside], -1)
    split = np.maximum.reduceat(at_largest, begins)  # the last of equal maxima
    far = largest > squared
    kept = np.concatenate([kept, split[far]])
    first, last = (
      np.concatenate([first[far], split[far]]),
      np.concatenate([split[far], last[far]]),
    )
    some = last - first > 1
    first, last = first[some], last[some]
  return np.sort(kept)


def _segment_distances(
  points: Float64[np.ndarray, "n 2"],
  start: Float64[np.ndarray, "n 2"],
  end: Float64[np.ndarray, "n 2"],
) -> Float64[np.ndarray, " n"]:
  """Squared distances from points to segments, rounded as in the toolkit."""
  along = end - start
  offset = points - start
  dot = (offset * along).sum(1).astype(np.float32)
  squared_length = (along * along).sum(1).astype(np.float32)
  # On a segment of length 0, the nearest point is its start.
  fraction = dot / np.where(squared_length > 0, squared_length, 1)
  fraction = np.clip(fraction, 0, 1).astype(np.float64)
  difference = points - (start + fraction[:, None] * along)
  return (difference * difference).sum(1)


def _doubled_area(points: Float64[np.ndarray, "n 2"]) -> np.float32:
  """Twice the signed area of a polygon, rounded as in the toolkit."""
  following = np.roll(points, -1, axis=0)
  terms = (following[:, 0] - points[:, 0]) * (following[:, 1] + points[:, 1])
  return np.cumsum(terms.astype(np.float32), dtype=np.float32)[-1]
