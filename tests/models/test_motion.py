"""The motion cue: the camera's motion is none, and what moves by itself stands out."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vosjax.models.modules import motion

H, W, D = 14, 18, 24


@functools.cache
def scene():
  """Directions at random, of more positions than a frame shows."""
  keys = np.random.default_rng(0).normal(size=(H + 8, W + 8, D)).astype(np.float32)
  return keys / np.linalg.norm(keys, axis=-1, keepdims=True)


def view(row, column):
  return scene()[row : row + H, column : column + W].copy()


@functools.cache
def cues_of():
  return jax.jit(motion.motion_cues)


def cues(now, before):
  found = cues_of()(jnp.asarray(now[None]), jnp.asarray(before[None]))
  return np.asarray(found[0])


@pytest.mark.parametrize("shift", [(0, 0), (2, -1)])
def test_what_the_camera_explains_does_not_move(shift):
  inside = cues(view(4, 4), view(4 + shift[0], 4 + shift[1]))[3:-3, 3:-3]
  assert inside[..., 0].max() < 0.1 and inside[..., 2].max() < 0.1
  np.testing.assert_allclose(inside[..., 3], 1, atol=1e-4)


def test_what_moves_by_itself_deviates_from_the_camera():
  now, before = view(4, 4), view(5, 4)
  thing = np.random.default_rng(1).normal(size=(3, 3, D)).astype(np.float32)
  thing /= np.linalg.norm(thing, axis=-1, keepdims=True)
  now[6:9, 8:11], before[6:9, 5:8] = thing, thing
  found = cues(now, before)
  inside = np.zeros((H, W), bool)
  inside[6:9, 8:11] = True
  # Three columns of its own and one row of the camera's; no more than 3 count.
  np.testing.assert_allclose(found[inside][:, 0], 3, atol=0.1)
  still = ~inside[3:-3, 3:-3] & (found[3:-3, 3:-3, 3] > 0.9)
  assert found[3:-3, 3:-3, 0][still].max() < 0.3
  assert found[inside][:, 2].min() > 2  # the camera's motion loses it


def test_earlier_frames_are_found_by_their_age():
  frames = [jnp.full((1, 2, 2, 1), float(t)) for t in range(7)]
  earlier = motion.begin(frames[0], 3)
  for t, frame in enumerate(frames):
    for lag in (1, 3):
      found = motion.look_back(earlier, lag)
      np.testing.assert_array_equal(found, frames[max(t - lag, 0)])
    earlier = motion.add(earlier, frame)


def test_the_solver_agrees_with_lapack():
  rng = np.random.default_rng(2)
  root, right = rng.normal(size=(4, 3, 3)), rng.normal(size=(4, 3, 2))
  matrix = np.einsum("bij,bkj->bik", root, root) + np.eye(3)
  found = motion._solve(jnp.asarray(matrix, "f"), jnp.asarray(right, "f"))
  np.testing.assert_allclose(found, np.linalg.solve(matrix, right), rtol=1e-3)
