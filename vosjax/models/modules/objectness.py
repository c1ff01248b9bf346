"""What frozen features tell about objects, without any training of their own.

An addition of this package, not part of any of the papers. Networks that were trained
on ImageNet respond more strongly to objects than to what surrounds them, and what
resembles the rim of a frame is rarely its subject. Both hold for procedural videos as
for real ones, which the features themselves do not.

Axes: `e` positions on the rim; `d` channels of a key.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from vosjax.models.modules.matching import unit
from vosjax.ops import resize
from vosjax.ops.top_k import top_k

Map = Float[Array, "b h w c"]
Levels = tuple[Float[Array, "b _ _ _"], ...]

_MATCHES = 20  # positions on the rim that a position is compared with
# Weights of the levels in a key, chosen on training videos of DAVIS.
_SHARES = (0.6, 1.0, 0.7)
# Factors that make contrasts about as large as logits, chosen likewise.
_CONTRAST = 20.0
_NEARBY_CONTRAST = 0.8
_WINDOW = 17  # rows and columns that are nearby


def object_cues(levels: Levels) -> Float[Array, "b h w 9"]:
  """How unlike the rim, how strong and how near to the middle of the frame.

  Those who film keep their subject near the middle.

  Args:
    levels: features of strides 8, 16 and 32.

  Returns:
    The first two cues of each level, at stride 8, and three of the place: the squares
    of its distances from the middle, across and down, and its height.
  """
  b, h, w, _ = levels[0].shape
  cues = [
    resize.enlarge(_cues(x.astype(jnp.float32)), 2**k, (h, w))
    for k, x in enumerate(levels)
  ]
  down, across = np.mgrid[-1 : 1 : h * 1j, -1 : 1 : w * 1j].astype(np.float32)
  place = np.stack([across**2, down**2, down], axis=-1)
  return jnp.concatenate([*cues, jnp.broadcast_to(place, (b, h, w, 3))], axis=-1)


def _cues(x: Map) -> Float[Array, "b h w 2"]:
  """Both cues at the resolution of the features."""
  b, h, w, c = x.shape
  directions = unit(x)
  rim = directions.reshape(b, h * w, c)[:, _rim(h, w)]
  similarity = jnp.einsum("bhwc,bec->bhwe", directions, rim)
  closest, _ = top_k(similarity, min(_MATCHES, similarity.shape[-1]))
  strength = jnp.linalg.norm(x, axis=-1)
  strength = strength / (strength.mean((1, 2), keepdims=True) + 1e-6) - 1
  return jnp.stack([1 - closest.mean(-1), strength], axis=-1)


def _rim(h: int, w: int) -> np.ndarray:
  """Indices of the outermost positions."""
  inside = np.zeros((h, w), bool)
  inside[1:-1, 1:-1] = True
  return np.flatnonzero(~inside)


def make_keys(levels: Levels) -> Float[Array, "b h w d"]:
  """Unit vectors of features of strides 8, 16 and 32 side by side, at stride 8."""
  _, h, w, _ = levels[0].shape
  parts = [
    share * unit(resize.enlarge(x.astype(jnp.float32), 2**k, (h, w)))
    for k, (x, share) in enumerate(zip(levels, _SHARES))
  ]
  return jnp.concatenate(parts, axis=-1)


def contrast(
  keys: Float[Array, "b h w d"], logits: Float[Array, "b h w"]
) -> Float[Array, "b h w"]:
  """How much more a position resembles the mean of an object than its background.

  Args:
    keys: of a frame.
    logits: of the object, where it is known roughly.
  """
  inside = jax.nn.sigmoid(logits)
  return _CONTRAST * _between(keys, _mean(keys, inside), _mean(keys, 1 - inside))


def nearby_contrast(
  features: Map, logits: Float[Array, "b h w"]
) -> Float[Array, "b h w"]:
  """The same with the means of a window around each position."""
  inside = jax.nn.sigmoid(logits)
  means = [_window_mean(features, weight) for weight in (inside, 1 - inside)]
  return _NEARBY_CONTRAST * _between(features, *means)


def standardise(x: Map) -> Map:
  """Each channel relative to its mean and deviation over the frame."""
  mean, deviation = x.mean((1, 2), keepdims=True), x.std((1, 2), keepdims=True)
  return (x - mean) / (deviation + 0.1)


def _between(
  x: Map, inner: Float[Array, "b #h #w c"], outer: Float[Array, "b #h #w c"]
) -> Float[Array, "b h w"]:
  """Where a position is from the middle of two means towards the first."""
  return ((x - (inner + outer) / 2) * (inner - outer)).sum(-1)


def _mean(
  keys: Float[Array, "b h w d"], weight: Float[Array, "b h w"]
) -> Float[Array, "b 1 1 d"]:
  total = jnp.einsum("bhw,bhwd->bd", weight, keys)
  return (total / (weight.sum((1, 2))[:, None] + 1e-6))[:, None, None]


def _window_mean(x: Map, weight: Float[Array, "b h w"]) -> Map:
  """The weighted mean in a window around each position; 0 without weight."""
  weighted = jnp.concatenate([x * weight[..., None], weight[..., None]], axis=-1)
  for window in ((1, _WINDOW, 1, 1), (1, 1, _WINDOW, 1)):  # rows, then columns
    weighted = jax.lax.reduce_window(
      weighted, 0.0, jax.lax.add, window, (1, 1, 1, 1), "SAME"
    )
  return weighted[..., :-1] / (weighted[..., -1:] + 1e-3)
