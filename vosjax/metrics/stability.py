"""Temporal stability T."""

from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Int64, Shaped

from vosjax.metrics.contours import longest_polygon
from vosjax.metrics.grid_path import cheapest_path
from vosjax.metrics.shape_context import (
  Descriptors,
  matching_costs,
  resample,
  shape_contexts,
)
from vosjax.metrics.summary import nan_mean

SCALE = 5.0  # published values of T are five times the mean cost


def temporal_stability(masks: Shaped[Any, "..."]) -> float:
  """Temporal stability T of one object over a video; lower is more stable.

  DAVIS leaves out the first and last frame: pass `masks[1:-1]` for its protocol.

  Args:
    masks: predicted masks [t h w], bool or integers (non-zero = object).

  Returns:
    The mean of `stability_series`; NaN if no two consecutive masks have contours.

  Raises:
    ValueError: the masks are not three-dimensional, or hold floats.

  Source: Perazzi et al., CVPR 2016 (measure T).
  """
  return nan_mean(stability_series(masks))


def stability_series(masks: Shaped[Any, "..."]) -> Float64[np.ndarray, " pairs"]:
  """How much the shape of the contour changes between consecutive frames.

  The longest contours of both frames are matched point by point. The value is five
  times the mean shape-context distance of matched points.

  Args:
    masks: see `temporal_stability`.

  Returns:
    One value per pair of frames; NaN where a mask has no contour of three vertices.

  Raises:
    ValueError: see `temporal_stability`.

  Source: the Python and C++ code of the DAVIS 2016 toolkit, equal within 1e-9. Among
  equally long contours it takes the last one; the MATLAB code takes the first one.
  """
  masks = np.asarray(masks)
  if masks.ndim != 3 or masks.dtype.kind not in "biu":
    raise ValueError(
      f"temporal_stability(): masks are {masks.dtype} {list(masks.shape)}; expected "
      "bool or integers [t h w] of one object."
    )
  descriptors = [_describe(mask != 0) for mask in masks]
  pairs = zip(descriptors, descriptors[1:])
  return np.array([_pair_cost(*pair) * SCALE for pair in pairs], np.float64)


def _describe(mask: Bool[np.ndarray, "h w"]) -> Descriptors | None:
  """Shape contexts along the longest contour of a mask, if it has a contour."""
  polygon = longest_polygon(mask)
  return None if polygon is None else shape_contexts(resample(polygon))


def _pair_cost(earlier: Descriptors | None, later: Descriptors | None) -> float:
  """Mean cost of the matched points of two contours."""
  if earlier is None or later is None:
    return float("nan")
  costs = matching_costs(earlier, later)
  rows, columns = _match(costs)
  return float(costs[rows, columns].mean())


def _match(
  costs: Float64[np.ndarray, "n m"],
) -> tuple[Int64[np.ndarray, " pairs"], Int64[np.ndarray, " pairs"]]:
  """Rows and columns of matched points; no row or column occurs twice.

  Contours are closed, so a first path through the costs finds the cheapest pair to
  start from; a second path from there around both contours gives the pairs.
  """
  path = cheapest_path(costs)[:0:-1]  # backwards, without the first cell
  anchor = path[np.argmin(costs[tuple(path.T)])] + 1
  around = cheapest_path(np.roll(costs, -anchor, (0, 1)))[::-1]
  rows, columns = ((around + anchor) % costs.shape).T
  for axis in (0, 1):  # of all pairs of one point, only the cheapest remains
    points = (rows, columns)[axis]
    cheapest_first = np.argsort(costs[rows, columns], kind="stable")
    _, firsts = np.unique(points[cheapest_first], return_index=True)
    kept = np.sort(cheapest_first[firsts])
    rows, columns = rows[kept], columns[kept]
  return rows, columns
