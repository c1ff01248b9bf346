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
  assert cues.shape == (12, 16, 9)
  inside, outside = cues[5, 8], cues[1, 2]
  assert (inside > outside + 0.3)[:4].all()  # stride 32 has hardly more than a rim here


def test_the_place_is_relative_to_the_middle():
  place = np.asarray(objectness.object_cues(features()))[0, ..., 6:]
  corners = place[[0, 0, -1, -1], [0, -1, 0, -1]]
  np.testing.assert_allclose(corners, [[1, 1, -1], [1, 1, -1], [1, 1, 1], [1, 1, 1]])
  assert np.abs(place[5:7, 7:9]).max() < 0.1


def test_strength_is_relative_to_the_frame():
  one = objectness.object_cues(features())
  brighter = jax.tree.map(lambda x: 3 * x, features())
  np.testing.assert_allclose(objectness.object_cues(brighter), one, atol=1e-4)


def hint():
  """Logits that know one position of the object alone."""
  logits = np.full((1, 12, 16), -4.0, np.float32)
  logits[0, 5, 8] = 4.0
  return jnp.asarray(logits)


def test_contrast_extends_what_is_known_to_all_that_looks_alike():
  keys = objectness.make_keys(features())
  found = np.asarray(objectness.contrast(keys, hint()))[0]
  assert found[4:6, 7:9].min() > 0 > found[:2].max()


def test_contrast_nearby_compares_with_means_of_a_window():
  x = objectness.standardise(features()[0])
  found = np.asarray(jax.jit(objectness.nearby_contrast)(x, hint()))
  inside = np.asarray(jax.nn.sigmoid(hint()))[0]
  rows, columns = slice(0, 11), slice(5, 16)  # within 8 of (2, 13), inside the frame
  window, weight = np.asarray(x)[0, rows, columns], inside[rows, columns, None]
  inner = (window * weight).sum((0, 1)) / (weight.sum() + 1e-3)
  outer = (window * (1 - weight)).sum((0, 1)) / ((1 - weight).sum() + 1e-3)
  expected = 0.8 * (np.asarray(x)[0, 2, 13] - (inner + outer) / 2) @ (inner - outer)
  np.testing.assert_allclose(found[0, 2, 13], expected, rtol=1e-4)
  assert found[0][INSIDE].min() > 0 > found[0, :2].max()
