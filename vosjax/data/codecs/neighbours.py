"""What neighbouring pixels of a map of values have in common."""

import numpy as np
from jaxtyping import Bool, Integer, Shaped, UInt8

_SINGLE = 0.52  # of the borders in rows and columns; at most 0.5 around lines
_ALTERNATING = 0.2  # of these borders, for dithering; at most 0.1 in soft masks


def is_solid(values: Shaped[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
  """Where a pixel and its eight neighbours have one value."""
  low, high = extremes(values)
  return low == high


def is_dithered(values: UInt8[np.ndarray, "h w"]) -> bool:
  """Whether most borders are around single pixels, with one value on both sides."""
  for rows in (values, values.T):
    differ = rows[:, 1:] != rows[:, :-1]
    single = differ[:, 1:] & differ[:, :-1]
    alternating = single & (rows[:, 2:] == rows[:, :-2])
    borders = np.count_nonzero(differ)
    if (
      np.count_nonzero(single) <= _SINGLE * borders
      or np.count_nonzero(alternating) <= _ALTERNATING * borders
    ):
      return False
  return True


def extremes(
  values: Shaped[np.ndarray, "h w"],
) -> tuple[Shaped[np.ndarray, "h w"], Shaped[np.ndarray, "h w"]]:
  """Minimum and maximum over each pixel and its neighbours."""
  low = high = np.pad(values, 1, mode="edge")
  low = np.minimum(np.minimum(low[:-2], low[1:-1]), low[2:])
  high = np.maximum(np.maximum(high[:-2], high[1:-1]), high[2:])
  low = np.minimum(np.minimum(low[:, :-2], low[:, 1:-1]), low[:, 2:])
  high = np.maximum(np.maximum(high[:, :-2], high[:, 1:-1]), high[:, 2:])
  return low, high


def find_pairs(
  values: Integer[np.ndarray, "h w"], flags: Bool[np.ndarray, "h w"]
) -> tuple[Integer[np.ndarray, "n 2"], Bool[np.ndarray, "n 2"]]:
  """Values and flags of all pairs of neighbours of different value."""
  found, flagged = [], []
  for one, other in (
    (np.s_[:, 1:], np.s_[:, :-1]),
    (np.s_[1:], np.s_[:-1]),
  ):
    differ = values[one] != values[other]
    found.append(np.stack([values[one][differ], values[other][differ]], -1))
    flagged.append(np.stack([flags[one][differ], flags[other][differ]], -1))
  return np.concatenate(found).astype(int), np.concatenate(flagged)
