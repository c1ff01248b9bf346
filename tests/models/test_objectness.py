"""Cues that need no training: unlike the rim, strong, and like what is known."""

import jax
import jax.numpy as jnp
import numpy as np

from vosjax.models.modules import objectness

INSIDE = (slice(4, 6), slice(6, 10))  # multiples of the coarser strides are not needed


def features(strength=2.0):
  """An object that differs in its features from a noisy background."""
  rng, levels = np.random.default_rng(0), []
  for k in range(3):
    h, w = 12 >> k, 16 >> k
    x = np.ones((1, h, w, 8)) + 0.05 * rng.normal(size=(1, h, w, 8))
    rows, columns = (slice(s.start >> k, max(s.stop >> k, 1)) for s in INSIDE)
    x[:, rows, columns, :4] *= -strength
    x[:, rows, columns, 4:] *= strength
    levels.append(jnp.asarray(x, jnp.float32))
  return tuple(levels)


def test_an_object_is_unlike_the_rim_and_strong():
  cues = np.asarray(jax.jit(objectness.object_cues)(features()))[0]
  assert cues.shape == (12, 16, 6)
  inside, outside = cues[5, 8], cues[1, 2]
  assert (inside > outside + 0.3)[:4].all()  # stride 32 has hardly more than a rim here


def test_strength_is_relative_to_the_frame():
  one = objectness.object_cues(features())
  brighter = jax.tree.map(lambda x: 3 * x, features())
  np.testing.assert_allclose(objectness.object_cues(brighter), one, atol=1e-4)


def test_contrast_extends_what_is_known_to_all_that_looks_alike():
  keys = objectness.make_keys(features())
  hint = np.full((1, 1, 12, 16), -4.0, np.float32)
  hint[0, 0, 5, 8] = 4.0  # one position of the object alone
  found = np.asarray(objectness.contrast(keys, keys[:, None], jnp.asarray(hint)))[0]
  assert found[4:6, 7:9].min() > 0 > found[:2].max()
