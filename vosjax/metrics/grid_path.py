"""Cheapest monotone path through a cost matrix, with the toolkit's tie-breaking."""

import math

import numpy as np
from jaxtyping import Float64, Int64

Path = Int64[np.ndarray, "_ 2"]  # (row, column) of each cell


def cheapest_path(costs: Float64[np.ndarray, "n m"]) -> Path:
  """The cheapest path from the first to the last cell.

  A step goes one row down, one column right, or both, and costs the number in the cell
  that it enters. Of several cheapest paths, it is the one that the DAVIS 2016 toolkit
  finds.
  """
  path = _unique_path(_distances(costs), *costs.shape)
  # A unique cheapest path does not depend on the algorithm. Among several, the
  # toolkit's choice depends on the history of its heap, which is repeated then.
  return np.array(_path_by_heap(costs) if path is None else path)


def _distances(costs: Float64[np.ndarray, "n m"]) -> Float64[np.ndarray, "diagonals _"]:
  """Cost of reaching each cell: cell (i, j) is element (i + j, i + 1)."""
  n, m = costs.shape
  distances = np.full((n + m - 1, n + 1), math.inf)
  distances[0, 1] = 0.0
  # Neighbours on a diagonal of the costs are m - 1 elements apart.
  flat = costs.reshape(-1)
  step = max(m - 1, 1)
  for k in range(1, n + m - 1):
    low, high = max(0, k - m + 1), min(n, k + 1)
    first = low * (m - 1) + k
    entering = flat[first : first + (high - low - 1) * step + 1 : step]
    last = distances[k - 1]
    best = np.minimum(last[low + 1 : high + 1], last[low:high])
    np.minimum(best, distances[k - 2, low:high], out=best)
    np.add(best, entering, out=distances[k, low + 1 : high + 1])
  return distances


def _unique_path(
  distances: Float64[np.ndarray, "diagonals _"], n: int, m: int
) -> list[tuple[int, int]] | None:
  """The cheapest path, or None if there are several."""
  i, j = n - 1, m - 1
  path = [(i, j)]
  while i or j:
    k = i + j
    above = distances[k - 1, i]
    left = distances[k - 1, i + 1] if j else math.inf
    both = distances[k - 2, i] if i and j else math.inf
    best = min(above, left, both)
    if sum((above == best, left == best, both == best)) > 1:
      return None
    i, j = i - int(left != best), j - int(above != best)
    path.append((i, j))
  return path[::-1]


def _path_by_heap(costs: Float64[np.ndarray, "n m"]) -> list[tuple[int, int]]:
  """Dijkstra's algorithm as in Boost, with its heap of four children per node."""
  n, m = costs.shape
  entering = costs.ravel().tolist()
  target = n * m - 1
  distance = [math.inf] * (n * m)
  before = [-1] * (n * m)
  place = [-1] * (n * m)  # index in the heap; -1 = not yet reached
  heap = [0]
  distance[0], place[0] = 0.0, 0
  while (cell := heap[0]) != target:
    # The last heap entry becomes the root and sinks below strictly nearer children.
    sinking, size, i = heap.pop(), len(heap), 0
    while (first := 4 * i + 1) < size:
      nearest, least = first, distance[heap[first]]
      for child in range(first + 1, min(first + 4, size)):
        if (value := distance[heap[child]]) < least:
          nearest, least = child, value
      if not least < distance[sinking]:
        break
      heap[i], place[heap[nearest]] = heap[nearest], i
      i = nearest
    if size:
      heap[i], place[sinking] = sinking, i

    right, below = (cell + 1) % m != 0, cell + m <= target
    for step, possible in ((1, right), (m, below), (m + 1, right and below)):
      if not possible:
        continue
      neighbour = cell + step
      reached = distance[cell] + entering[neighbour]
      if not reached < distance[neighbour]:
        continue
      distance[neighbour], before[neighbour] = reached, cell
      i = place[neighbour]
      if i < 0:
        i = len(heap)
        heap.append(neighbour)
      # The neighbour rises above its parents while it is strictly nearer.
      while i and reached < distance[heap[(i - 1) >> 2]]:
        parent = (i - 1) >> 2
        heap[i], place[heap[parent]] = heap[parent], i
        i = parent
      heap[i], place[neighbour] = neighbour, i
  path = []
  while target >= 0:
    path.append(divmod(target, m))
    target = before[target]
  return path[::-1]
