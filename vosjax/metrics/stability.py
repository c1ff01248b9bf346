"""Temporal stability T."""

from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Shaped

from vosjax.metrics.contours import longest_polygon
from vosjax.metrics.grid_path import cheapest_path
from vosjax.metrics.shape_context import (
  Descriptors,
  matching_costs,
  resample,
  shape_contexts,
)
from vosjax.metrics.summary import nan_mean

SCALE = 5.0  # of published values


def temporal_stability(masks: Shaped[Any, "..."]) -> float:
  """Temporal instability T of one object over a sequence; lower is better.

  The mean of `stability_series`, NaN where no pair of frames has two contours. The
  DAVIS protocols leave the first and last frame out: give `masks[1:-1]` for them.

  Args:
    masks: predicted masks [t h w], bool or integers (non-zero = object).

  Raises:
    ValueError: masks are not three-dimensional, or hold floats.

  Source: Perazzi et al., CVPR 2016 (measure T).
  """
  return nan_mean(stability_series(masks))


def stability_series(masks: Shaped[Any, "..."]) -> Float64[np.ndarray, " pairs"]:
  """How much the contour changes its shape between consecutive frames.

  For each pair of frames, the longest contours are matched point by point, and the
  mean shape-context distance of matched points is taken five times.

  Args:
    masks: see `temporal_stability`.

  Returns:
    One value for each pair, NaN where a mask has no contour of three vertices.

  Source: the Python and C++ code of the DAVIS 2016 toolkit, whose values these are
  within 1e-9. The MATLAB code takes the first of equally long contours, not the last.
  """
  masks = np.asarray(masks)
  if masks.ndim != 3 or masks.dtype.kind not in "biu":
    raise ValueError(
      f"temporal_stability(): masks are {masks.dtype} {list(masks.shape)}; expected "
      "bool or integers [t h w] of one object."
    )
  described = [_describe(mask != 0) for mask in masks]
  pairs = zip(described, described[1:])
  return np.array([_pair_cost(*pair) * SCALE for pair in pairs], np.float64)


def _describe(mask: Bool[np.ndarray, "h w"]) -> Descriptors | None:
  polygon = longest_polygon(mask)
  return None if polygon is None else shape_contexts(resample(polygon))


def _pair_cost(earlier: Descriptors | None, later: Descriptors | None) -> float:
  """Mean cost of the matched points of two contours."""
  if earlier is None or later is None:
    return float("nan")
  costs = matching_costs(earlier, later)
  rows, columns = _match(costs)
  return float(costs[rows, columns].mean())


def _match(costs: Float64[np.ndarray, "n m"]):
  """Rows and columns of matched points: each of them occurs at most once.

  A first path finds where the closed contours fit best; a second one, from there all
  around, gives the pairs.
  """
  path = cheapest_path(costs)[:0:-1]  # from the end, without the start
  anchor = path[np.argmin(costs[tuple(path.T)])] + 1
  around = cheapest_path(np.roll(costs, -anchor, (0, 1)))[::-1]
  rows, columns = ((around + anchor) % costs.shape).T
  for ends in (0, 1):
    values = (rows, columns)[ends]
    cheapest_first = np.argsort(costs[rows, columns], kind="stable")
    _, firsts = np.unique(values[cheapest_first], return_index=True)
    kept = np.sort(cheapest_first[firsts])
    rows, columns = rows[kept], columns[kept]
  return rows, columns
