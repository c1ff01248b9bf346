"""The motion cue: what moves otherwise than the camera.

An addition of this package, not part of any of the papers. Each position of a frame is
found again in earlier frames, nearby and by the similarity of its features. A motion
that is affine over the frame, fitted to most positions, is taken for that of the
camera; what deviates from it moves by itself.

Axes: `n` places for earlier frames; `d` channels of a key; `s` displacements, as (row,
column), in positions of the features.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from vosjax.models.modules.matching import unit
from vosjax.ops import resize
from vosjax.types import record

_DEEP_SHARE = 0.7  # weight of the deeper stage in a key
_RADIUS = 5
_TEMPERATURE = 0.04
_ROUNDS = 6  # of the robust fit
_TOLERANCE = 0.5  # deviation at which the weight of a position has fallen to a quarter


def make_keys(
  fine: Float[Array, "b h w c2"], deep: Float[Array, "b h16 w16 c3"]
) -> Float[Array, "b h w d"]:
  """Unit vectors of features of strides 8 and 16, at stride 8."""
  fine = unit(fine.astype(jnp.float32))
  _, h, w, _ = fine.shape
  deep = unit(resize.enlarge(deep.astype(jnp.float32), 2, (h, w)))
  return unit(jnp.concatenate([fine, _DEEP_SHARE * deep], axis=-1))


@record
class EarlierFrames:
  """Keys of the latest frames, frame number i of the video in place i % n.

  Attributes:
    keys: of these frames; before there are so many, of the first one.
    count: frames so far.
  """

  keys: Float[Array, "b n h w d"]
  count: Int[Array, " b"]


def begin(keys: Float[Array, "b h w d"], num_frames: int) -> EarlierFrames:
  """The state before the first frame, whose keys are given."""
  b, h, w, d = keys.shape
  every = jnp.broadcast_to(keys[:, None], (b, num_frames, h, w, d))
  return EarlierFrames(every, jnp.zeros(b, jnp.int32))


def add(earlier: EarlierFrames, keys: Float[Array, "b h w d"]) -> EarlierFrames:
  """Puts a frame in the place of the oldest."""
  place = earlier.count % earlier.keys.shape[1]
  put = jax.vmap(lambda old, new, i: old.at[i].set(new))
  return EarlierFrames(put(earlier.keys, keys, place), earlier.count + 1)


def look_back(earlier: EarlierFrames, lag: int) -> Float[Array, "b h w d"]:
  """The keys of the frame so many frames before the next one."""
  place = (earlier.count - lag) % earlier.keys.shape[1]
  return jax.vmap(lambda keys, i: keys[i])(earlier.keys, place)


def motion_cues(
  keys: Float[Array, "b h w d"], earlier: Float[Array, "b h w d"]
) -> Float[Array, "b h w 4"]:
  """Deviation from the camera's motion, and how well it explains what is seen.

  Returns:
    The deviation in positions, the same relative to its mean over the frame, the
    similarity that is lost by moving with the camera, and that of the best match.
  """
  shifts, similarity = _similarities(keys, earlier)
  share = jax.nn.softmax(similarity / _TEMPERATURE, axis=-1)
  flow = jnp.einsum("bhws,sc->bhwc", share, shifts)
  reach = jnp.einsum("bhws,s->bhw", share, (shifts**2).sum(-1))
  spread = jnp.maximum(reach - (flow**2).sum(-1), 0.0)
  best = similarity.max(-1)
  camera = _fit(flow, jax.nn.relu(best - 0.3) / (1 + spread))
  deviation = jnp.sqrt(((flow - camera) ** 2).sum(-1) + 1e-6)
  relative = deviation / (deviation.mean((1, 2), keepdims=True) + 0.15)
  offsets = camera[..., None, :] - shifts[None, None, None]
  near = jnp.prod(jax.nn.relu(1 - jnp.abs(offsets)), axis=-1)
  lost = best - (similarity * near).sum(-1)
  cues = [jnp.minimum(deviation, 3.0), jnp.minimum(relative, 4.0) - 1, 5 * lost, best]
  return jnp.stack(cues, axis=-1)


def _similarities(
  keys: Float[Array, "b h w d"], earlier: Float[Array, "b h w d"]
) -> tuple[Float[Array, "s 2"], Float[Array, "b h w s"]]:
  """All displacements, and the similarity to the earlier frame at each of them."""
  b, h, w, d = keys.shape
  side = np.arange(-_RADIUS, _RADIUS + 1)
  shifts = np.stack(np.meshgrid(side, side, indexing="ij"), axis=-1).reshape(-1, 2)
  margin = (_RADIUS, _RADIUS)
  padded = jnp.pad(earlier, ((0, 0), margin, margin, (0, 0)))

  def at(corner: Int[Array, " 2"]) -> Float[Array, "b h w"]:
    start = (0, corner[0], corner[1], 0)
    there = jax.lax.dynamic_slice(padded, start, (b, h, w, d))
    return jnp.einsum("bhwd,bhwd->bhw", keys, there)

  found = jax.lax.map(at, jnp.asarray(shifts + _RADIUS))
  return jnp.asarray(shifts, jnp.float32), jnp.moveaxis(found, 0, -1)


def _fit(
  flow: Float[Array, "b h w 2"], trust: Float[Array, "b h w"]
) -> Float[Array, "b h w 2"]:
  """The affine motion of most positions, by reweighted least squares."""
  _, h, w, _ = flow.shape
  rows, columns = np.mgrid[0:h, 0:w].astype(np.float32)
  terms = [np.ones((h, w), np.float32), rows - (h - 1) / 2, columns - (w - 1) / 2]
  basis = jnp.asarray(np.stack(terms, -1) / np.array([1, w / 2, w / 2], np.float32))

  def improve(k, fitted):
    motion, weight = fitted
    normal = jnp.einsum("bhw,hwi,hwj->bij", weight, basis, basis)
    right = jnp.einsum("bhw,hwi,bhwc->bic", weight, basis, flow)
    solution = _solve(normal + 1e-3 * jnp.eye(3)[None], right)
    motion = jnp.einsum("hwi,bic->bhwc", basis, solution)
    tolerance = _TOLERANCE * jnp.maximum(1, 4 - k)  # at first, far ones count as well
    return motion, trust / (1 + ((flow - motion) ** 2).sum(-1) / tolerance**2) ** 2

  motion, _ = jax.lax.fori_loop(0, _ROUNDS, improve, (jnp.zeros_like(flow), trust))
  return motion


def _solve(
  matrix: Float[Array, "b 3 3"], right: Float[Array, "b 3 c"]
) -> Float[Array, "b 3 c"]:
  """Solves symmetric systems by Cramer's rule, which is exported everywhere."""
  x, y, z = matrix[:, 0], matrix[:, 1], matrix[:, 2]
  inverse = jnp.stack([jnp.cross(y, z), jnp.cross(z, x), jnp.cross(x, y)], axis=-1)
  determinant = (x * inverse[..., 0]).sum(-1)
  return jnp.einsum("bij,bjc->bic", inverse, right) / determinant[:, None, None]
