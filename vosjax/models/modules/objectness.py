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

Map = Float[Array, "b h w c"]
Levels = tuple[Float[Array, "b _ _ _"], ...]

_MATCHES = 20  # positions on the rim that a position is compared with
# Weights of the levels in a key, chosen on training videos of DAVIS.
_SHARES = (0.6, 1.0, 0.7)
_SCALE = 20.0  # of the contrast; it makes it about as large as a logit


def object_cues(levels: Levels) -> Float[Array, "b h w 6"]:
  """How unlike the rim of the frame, and how strong, the features of a position are.

  Args:
    levels: features of strides 8, 16 and 32.

  Returns:
    Both cues of each level, at stride 8.
  """
  size = levels[0].shape[1:3]
  cues = [
    resize.enlarge(_cues(x.astype(jnp.float32)), 2**k, size)
    for k, x in enumerate(levels)
  ]
  return jnp.concatenate(cues, axis=-1)


def _cues(x: Map) -> Float[Array, "b h w 2"]:
  """Both cues at the resolution of the features."""
  b, h, w, c = x.shape
  directions = unit(x)
  rim = directions.reshape(b, h * w, c)[:, _rim(h, w)]
  similarity = jnp.einsum("bhwc,bec->bhwe", directions, rim)
  closest, _ = jax.lax.top_k(similarity, min(_MATCHES, similarity.shape[-1]))
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
  size = levels[0].shape[1:3]
  parts = [
    share * unit(resize.enlarge(x.astype(jnp.float32), 2**k, size))
    for k, (x, share) in enumerate(zip(levels, _SHARES))
  ]
  return jnp.concatenate(parts, axis=-1)


def contrast(
  keys: Float[Array, "b h w d"],
  known: Float[Array, "b r h w d"],
  logits: Float[Array, "b r h w"],
) -> Float[Array, "b h w 1"]:
  """How much more a position resembles the mean of an object than its background.

  Args:
    keys: of the frame.
    known: keys of frames whose object is known roughly.
    logits: of the object in these.
  """
  inside = jax.nn.sigmoid(logits)
  means = [_mean(known, weight) for weight in (inside, 1 - inside)]
  axis = means[0] - means[1]
  middle = jnp.einsum("bd,bd->b", axis, means[0] + means[1]) / 2
  along = jnp.einsum("bhwd,bd->bhw", keys, axis) - middle[:, None, None]
  return _SCALE * along[..., None]


def _mean(
  keys: Float[Array, "b r h w d"], weight: Float[Array, "b r h w"]
) -> Float[Array, "b d"]:
  total = jnp.einsum("brhw,brhwd->bd", weight, keys)
  return total / (weight.sum((1, 2, 3))[:, None] + 1e-6)
