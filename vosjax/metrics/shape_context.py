"""Shape contexts: log-polar histograms of a contour as seen from each of its points."""

import numpy as np
from jaxtyping import Float32, Float64, Int64

from vosjax.metrics.contours import Polygon

NUM_RINGS = 5
NUM_SECTORS = 12
NUM_BINS = NUM_RINGS * NUM_SECTORS

_SPACING = np.float32(3)  # largest distance of neighbouring points, in pixels
_RING_EDGES = np.logspace(np.log10(1 / 8), np.log10(2), NUM_RINGS)
_EPSILON = 2.2204e-16
_BLOCK = 1 << 13  # array elements processed at once, so that they stay in cache

Points = Float32[np.ndarray, "_ 2"]  # (x, y)
Descriptors = Float64[np.ndarray, "_ 60"]


def resample(polygon: Polygon) -> Points:
  """Samples a polygon: vertices, and points between them at most 3 pixels apart.

  As in the polygon, the last point repeats the first one.
  """
  vertices = polygon.astype(np.float32)
  edges = vertices[1:] - vertices[:-1]
  lengths = np.sqrt((edges * edges).sum(1))
  counts = np.ceil(lengths / _SPACING).astype(np.int64)
  points = [vertices[:1]]
  for start, end, edge, count in zip(vertices, vertices[1:], edges, counts):
    if count > 1:
      step = edge / np.float32(count)
      # Repeated addition rounds as in the toolkit.
      steps = np.concatenate([start[None], np.repeat(step[None], count - 1, axis=0)])
      points.append(np.cumsum(steps, axis=0, dtype=np.float32)[1:])
    points.append(end[None])
  return np.concatenate(points)


def shape_contexts(points: Points) -> Descriptors:
  """Histogram of all points around each point, normalised to sum 1.

  The bins are 5 rings, at distances relative to the mean distance of all pairs, times
  12 sectors. The point itself is counted, and so is the repeated last one.

  Source: Belongie et al., PAMI 2002, as in the DAVIS 2016 toolkit.
  """
  counts = count_contexts(points).astype(np.float64)
  return counts / (counts.sum(1, keepdims=True) + _EPSILON)


def count_contexts(points: Points) -> Int64[np.ndarray, "_ 60"]:
  """The histograms before normalisation; the innermost ring comes last."""
  num = len(points)
  x, y = points.astype(np.float64).T.copy()
  distance = np.sqrt(np.square(x - x[:, None]) + np.square(y - y[:, None]))
  distance /= distance.mean()
  bins = np.empty((num, num), np.int64)
  rows_at_once = max(1, _BLOCK // num)
  for first in range(0, num, rows_at_once):
    rows = slice(first, first + rows_at_once)
    ring = np.zeros(distance[rows].shape, np.int64)
    for edge in _RING_EDGES:
      ring += distance[rows] < edge
    sector = _sectors(y - y[rows, None], x - x[rows, None])
    bins[rows] = ring * NUM_SECTORS + sector
  bins += np.arange(num)[:, None] * (NUM_BINS + NUM_SECTORS)
  counts = np.bincount(bins.ravel(), minlength=num * (NUM_BINS + NUM_SECTORS))
  # Ring 0 holds points beyond the outermost ring.
  return counts.reshape(num, -1)[:, NUM_SECTORS:]


def _sectors(
  dy: Float64[np.ndarray, "n m"], dx: Float64[np.ndarray, "n m"]
) -> Int64[np.ndarray, "n m"]:
  """Index of the 30 degree sector of each vector; (0, 0) is in sector 0."""
  turn = np.arctan2(dy, dx)
  turn += np.where(turn < 0, 2 * np.pi, 0)
  return (turn / (2 * np.pi / NUM_SECTORS)).astype(np.int64) % NUM_SECTORS


def matching_costs(
  earlier: Descriptors, later: Descriptors
) -> Float64[np.ndarray, "_ _"]:
  """Half the chi-squared distance between all descriptors of two contours.

  The cost of descriptors a and b is 1/2 sum_k (a_k - b_k)^2 / (a_k + b_k). The 60 terms
  are added in the order in which NumPy sums a contiguous axis, as the toolkit does,
  because sums of costs are later compared for equality.

  Args:
    earlier: descriptors of the earlier contour, rows of the result.
    later: descriptors of the later contour, columns of the result.
  """
  costs = np.empty((len(earlier), len(later)))
  later = np.ascontiguousarray(later.T)
  later_terms = later * later / (later + _EPSILON)  # where the earlier bin is empty
  rows_at_once = max(1, _BLOCK // later.shape[1])
  for first in range(0, len(earlier), rows_at_once):
    rows = slice(first, first + rows_at_once)
    costs[rows] = 0.5 * _chi_squared(earlier[rows], later, later_terms)
  return costs


def _chi_squared(
  left: Float64[np.ndarray, "n bins"],
  right: Float64[np.ndarray, "bins m"],
  right_terms: Float64[np.ndarray, "bins m"],
) -> Float64[np.ndarray, "n m"]:
  """Sums of (a - b)^2 / (a + b) over bins; `right_terms` holds those for a = 0."""
  shape = (len(left), right.shape[1])
  sums = np.zeros((8, *shape))
  total, square = np.empty(shape), np.empty(shape)
  # Neighbours on a contour have similar histograms: many bins are empty in all of them.
  used = set(np.flatnonzero(left.any(0)).tolist())

  def term(k: int) -> np.ndarray:
    if k not in used:
      return right_terms[k]
    a, b = left[:, k, None], right[k]
    np.subtract(a, b, out=square)
    np.multiply(square, square, out=square)
    np.add(a, b, out=total)
    np.add(total, _EPSILON, out=total)
    return np.divide(square, total, out=square)

  for lane, lane_sum in enumerate(sums):
    for k in range(lane, 56, 8):
      lane_sum += term(k)
  result = ((sums[0] + sums[1]) + (sums[2] + sums[3])) + (
    (sums[4] + sums[5]) + (sums[6] + sums[7])
  )
  for k in range(56, NUM_BINS):
    result += term(k)
  return result
