"""Cheapest monotone paths through a cost matrix, with the toolkit's choice of ties."""

import math

import numpy as np
from jaxtyping import Float64, Int64

Path = Int64[np.ndarray, "_ 2"]  # (row, column) of each cell


def cheapest_path(costs: Float64[np.ndarray, "n m"]) -> Path:
  """Path from the first to the last cell; entering a cell costs its number.

  Steps go one row down, one column right, or both. Where several paths are equally
  cheap, it is the one that the DAVIS 2016 toolkit finds.
  """
  path = _unique_path(_distances(costs), *costs.shape)
  # Sums are equal however they are computed, but among equal ones the toolkit's
  # choice hangs on the history of its heap.
  return np.array(_path_by_heap(costs) if path is None else path)


def _distances(costs) -> Float64[np.ndarray, "diagonals _"]:
  """Cost of reaching each cell: cell (i, j) is element (i + j, i + 1)."""
  n, m = costs.shape
  distances = np.full((n + m - 1, n + 1), math.inf)
  distances[0, 1] = 0.0
  # Diagonal k of the costs begins at element k and goes on in steps of m - 1.
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


def _unique_path(distances, n: int, m: int) -> list[tuple[int, int]] | None:
  """The path back from the last cell, or None when it is not the only one."""
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


def _path_by_heap(costs) -> list[tuple[int, int]]:
  """Dijkstra's algorithm as Boost runs it, with a heap of four children a node."""
  n, m = costs.shape
  entering = costs.ravel().tolist()
  target = n * m - 1
  distance = [math.inf] * (n * m)
  before = [-1] * (n * m)
  place = [-1] * (n * m)  # in the heap; -1 = never been there
  heap = [0]
  distance[0], place[0] = 0.0, 0
  while (cell := heap[0]) != target:
    # The last cell takes the root and sinks below strictly nearer children.
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
      # It rises over its parents while it is strictly nearer.
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
