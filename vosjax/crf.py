"""Dense conditional random field, which aligns masks with the edges of the image.

The two Gaussian kernels are applied with the permutohedral lattice, as in the program
that produced the published results; it approximates the exact Gaussian. The lattices
are built on the host, the mean field runs on any device.

A frame of 480 x 854 takes about one second on one CPU core, four fifths of it for
building the lattice of the appearance kernel. The first frames also compile, once for
each of a few sizes of lattices.

Sources: Krähenbühl and Koltun, Efficient Inference in Fully Connected CRFs with
Gaussian Edge Potentials, NeurIPS 2011; Adams et al., Fast High-Dimensional Filtering
Using the Permutohedral Lattice, Eurographics 2010.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Num, UInt8

from vosjax.types import AnyArray, record

_MIN_PROBABILITY = 1e-5


@record
class Lattice:
  """Positions of pixels `n` among vertices `v`; the last vertex means "none".

  Attributes:
    vertices: of the simplex that encloses each pixel.
    weights: barycentric coordinates, which sum to 1.
    left: neighbour of each vertex in each direction.
    right: the opposite neighbour.
  """

  vertices: Int[Array, "n d1"]
  weights: Float[Array, "n d1"]
  left: Int[Array, "d1 v"]
  right: Int[Array, "d1 v"]


def refine(
  frame: UInt8[AnyArray, "h w 3"] | Any,
  probs: Num[AnyArray, "h w"] | Any,
  *,
  bilateral_position: float,
  bilateral_color: float = 7.0,
  bilateral_compatibility: float,
  gaussian_position: float = 1.0,
  gaussian_compatibility: float = 5.0,
  iterations: int = 5,
) -> Float[Array, "h w"]:
  """Foreground marginals after mean-field inference with two Gaussian kernels.

  COSNet's release tries bilateral positions of 10, 15 and 20 and compatibilities of 8,
  9 and 10; it is not known which of them gave the published results.

  Args:
    frame: RGB, 0 to 255.
    probs: of the foreground, in [0, 1]; COSNet's release first stretches each soft
      mask to this range.
    bilateral_position: standard deviation of the appearance kernel, in pixels.
    bilateral_color: its standard deviation in colour, in levels of 0 to 255.
    bilateral_compatibility: weight of the appearance kernel.
    gaussian_position: standard deviation of the smoothness kernel, in pixels.
    gaussian_compatibility: weight of the smoothness kernel.
    iterations: of the mean field; with 0 the probabilities are returned.

  Raises:
    ValueError: sizes differ, probabilities are outside of [0, 1], or a standard
      deviation is not positive.
  """
  frame, probs = np.asarray(frame), np.asarray(probs, np.float32)
  _check(frame, probs)
  widths = {
    "bilateral_position": bilateral_position,
    "bilateral_color": bilateral_color,
    "gaussian_position": gaussian_position,
  }
  for name, width in widths.items():
    if not width > 0:
      raise ValueError(f"refine(): {name} is {width}; it must be positive.")
  h, w = probs.shape
  position = np.indices((h, w)).reshape(2, -1).T.astype(np.float64)
  color = frame.reshape(-1, 3).astype(np.float64) / bilateral_color
  appearance = np.concatenate([position / bilateral_position, color], axis=1)
  out = _mean_field(
    jnp.asarray(probs.reshape(-1)),
    _smoothness_lattice(h, w, float(gaussian_position)),
    make_lattice(appearance),
    jnp.float32(gaussian_compatibility),
    jnp.float32(bilateral_compatibility),
    iterations,
  )
  return out.reshape(h, w)


def make_lattice(features: Float[np.ndarray, "n d"]) -> Lattice:
  """Builds the permutohedral lattice around points.

  Args:
    features: coordinates in units of the Gaussian's standard deviation.
  """
  keys, weights = _simplices(features)
  n, corners, d = keys.shape
  low = keys.min((0, 1)) - d
  span = keys.max((0, 1)) + d + 1 - low
  strides = np.append(np.cumprod(span[:0:-1])[::-1], 1).astype(np.int64)
  packed = ((keys - low) @ strides).reshape(-1)
  known, vertices = np.unique(packed, return_inverse=True)
  # Steps to the next vertex of each direction; in the last all coordinates shift.
  steps = np.vstack([np.diag(np.full(d, d + 1)) - 1, -np.ones((1, d), np.int64)])
  size = _round_up(len(known) + 1)
  left, right = (
    np.stack([_find(known, known + step @ strides, size) for step in sign * steps])
    for sign in (1, -1)
  )
  return Lattice(
    jnp.asarray(vertices.reshape(n, corners).astype(np.int32)),
    jnp.asarray(weights.astype(np.float32)),
    jnp.asarray(left),
    jnp.asarray(right),
  )


@functools.lru_cache(maxsize=8)
def _smoothness_lattice(h: int, w: int, width: float) -> Lattice:
  """The lattice of the smoothness kernel, which all frames of a size share."""
  position = np.indices((h, w)).reshape(2, -1).T
  return make_lattice(position / width)


def _simplices(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Keys [n d+1 d] and barycentric weights [n d+1] of the simplex around each point."""
  n, d = features.shape
  k = np.arange(d)
  scaled = features * (np.sqrt(2 / 3) * (d + 1) / np.sqrt((k + 1) * (k + 2)))
  elevated = np.zeros((n, d + 1))
  elevated[:, :d] = np.cumsum(scaled[:, ::-1], axis=1)[:, ::-1]
  elevated[:, 1:] -= np.arange(1, d + 1) * scaled
  nearest = np.rint(elevated / (d + 1)).astype(np.int64)
  excess = nearest.sum(1, keepdims=True)
  base = nearest * (d + 1)
  # Ranks by descending distance from the nearest point; ties go to the earlier one.
  order = np.argsort(-(elevated - base), axis=1, kind="stable")
  rank = np.empty_like(order)
  np.put_along_axis(rank, order, np.arange(d + 1)[None], axis=1)
  rank += excess
  shift = (d + 1) * ((rank < 0).astype(np.int64) - (rank > d))
  rank, base = rank + shift, base + shift
  distance = (elevated - base) / (d + 1)
  weights = np.zeros((n, d + 2))
  np.put_along_axis(weights, d - rank, distance, axis=1)
  behind = np.zeros_like(weights)
  np.put_along_axis(behind, d - rank + 1, distance, axis=1)
  weights -= behind
  weights[:, 0] += 1 + weights[:, d + 1]
  corner = np.arange(d + 1)[None, :, None]
  rank = rank[:, None, :d]
  keys = base[:, None, :d] + np.where(rank <= d - corner, corner, corner - (d + 1))
  return keys, weights[:, : d + 1]


def _find(keys: np.ndarray, wanted: np.ndarray, size: int) -> np.ndarray:
  """Index of each wanted key among sorted keys; the last vertex if it is absent."""
  index = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
  found = np.full(size, size - 1, np.int32)
  found[: len(keys)] = np.where(keys[index] == wanted, index, size - 1)
  return found


def _round_up(count: int) -> int:
  """Rounds up to one of a few sizes, so that few frames compile anything new."""
  step = 2 ** max(int(count).bit_length() - 3, 4)
  return -(-count // step) * step


def _filter(lattice: Lattice, x: Float[Array, "n"]) -> Float[Array, "n"]:
  """Sum over all pixels, weighted by the Gaussian of their distance."""
  corners, size = lattice.left.shape
  spread = (lattice.weights * x[:, None]).reshape(-1)
  values = jax.ops.segment_sum(spread, lattice.vertices.reshape(-1), size)
  for left, right in zip(lattice.left, lattice.right):
    blurred = values + (values[left] + values[right]) / 2
    values = blurred.at[-1].set(0)  # absent vertices contribute nothing
  scale = 1 / (1 + 2.0 ** (1 - corners))
  return (lattice.weights * values[lattice.vertices]).sum(1) * scale


@functools.partial(jax.jit, static_argnames="iterations")
def _mean_field(
  probs: Float[Array, " n"],
  smoothness: Lattice,
  appearance: Lattice,
  smoothness_weight: Array,
  appearance_weight: Array,
  iterations: int,
) -> Float[Array, " n"]:
  """Marginals of the foreground."""
  probs = jnp.clip(jnp.stack([1 - probs, probs]), _MIN_PROBABILITY, 1)
  unary = jnp.log(probs[1]) - jnp.log(probs[0])
  kernels = []
  for lattice, weight in (
    (smoothness, smoothness_weight),
    (appearance, appearance_weight),
  ):
    norm = jax.lax.rsqrt(_filter(lattice, jnp.ones_like(unary)) + 1e-20)
    kernels.append((lattice, weight, norm))

  def step(_: Any, q: Array) -> Array:
    # The filter is linear, so filtering the labels' difference serves both of them.
    messages = (
      weight * norm * _filter(lattice, norm * (2 * q - 1))
      for lattice, weight, norm in kernels
    )
    return jax.nn.sigmoid(unary + sum(messages))

  return jax.lax.fori_loop(0, iterations, step, jax.nn.sigmoid(unary))


def _check(frame: np.ndarray, probs: np.ndarray) -> None:
  if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
    raise ValueError(
      f"refine(): frame is {frame.dtype} {list(frame.shape)}; expected uint8 RGB "
      "[h w 3]."
    )
  if probs.shape != frame.shape[:2]:
    raise ValueError(
      f"refine(): probs are {list(probs.shape)} but the frame is "
      f"{list(frame.shape[:2])}; resize them to the frame."
    )
  if not (probs.min() >= 0 and probs.max() <= 1):
    raise ValueError(
      f"refine(): probs range from {probs.min()} to {probs.max()}; expected "
      "probabilities in [0, 1]."
    )
