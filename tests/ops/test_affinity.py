"""Affinities and attention against loops over positions, and their memory."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vosjax.ops import affinity


def noise(seed, *shape):
  return jnp.asarray(np.random.RandomState(seed).standard_normal(shape), jnp.float32)


QUERY, REFERENCES = noise(0, 2, 3, 5, 8), 2 * noise(1, 2, 4, 2, 6, 8)


def attend(scores, values):
  """One position: softmax over the scores, then the weighted mean."""
  weights = np.exp(scores - scores.max())
  return weights @ values / weights.sum()


def test_each_frame_reads_from_the_other():
  query, reference = QUERY, REFERENCES[:, 0]
  scores = affinity.affinity(query, reference)
  assert scores.shape == (2, 3, 5, 2, 6)
  np.testing.assert_allclose(
    scores[1, 2, 0, 1, 4], query[1, 2, 0] @ reference[1, 1, 4], rtol=1e-5
  )
  of_reference = affinity.read_reference(scores, reference)
  of_query = affinity.read_query(scores, query)
  for b in range(2):
    table = np.asarray(scores[b]).reshape(15, 12)
    x, y = np.asarray(query[b]).reshape(15, 8), np.asarray(reference[b]).reshape(12, 8)
    expected = [attend(row, y) for row in table]
    np.testing.assert_allclose(of_reference[b].reshape(15, 8), expected, atol=1e-5)
    expected = [attend(column, x) for column in table.T]
    np.testing.assert_allclose(of_query[b].reshape(12, 8), expected, atol=1e-5)


@pytest.mark.parametrize("rows", [1, 4, 15, 512])
def test_the_number_of_rows_at_once_changes_nothing(rows):
  reference = REFERENCES[:, 0]
  expected = affinity.read_reference(affinity.affinity(QUERY, reference), reference)
  found = affinity.read(QUERY, reference, rows=rows)
  np.testing.assert_allclose(found, expected, atol=1e-5)


def test_gradients_are_those_of_the_whole_affinity():
  reference = REFERENCES[:, 0]

  def whole(query, reference):
    scores = affinity.affinity(query, reference)
    return jnp.square(affinity.read_reference(scores, reference)).sum()

  def chunked(query, reference):
    return jnp.square(affinity.read(query, reference, rows=4)).sum()

  expected, found = (jax.grad(f, (0, 1))(QUERY, reference) for f in (whole, chunked))
  for a, b in zip(found, expected):
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("twice", [False, True])
def test_joint_reading_normalises_over_all_references(twice):
  b, r, i, j, d = REFERENCES.shape
  scores = jnp.einsum("bhwd,brijd->bhwrij", QUERY, REFERENCES)
  if twice:
    scores = jax.nn.softmax(scores, axis=(1, 2))
  weights = jax.nn.softmax(scores, axis=(3, 4, 5))
  expected = jnp.einsum("bhwrij,brijd->bhwd", weights, REFERENCES)
  read = affinity.read_twice_normalised if twice else affinity.read_jointly
  np.testing.assert_allclose(read(QUERY, REFERENCES), expected, atol=1e-5)


def test_large_affinities_do_not_overflow():
  found = affinity.read_jointly(100 * QUERY, 10 * REFERENCES)
  assert jnp.isfinite(found).all()


def test_memory_does_not_grow_with_references():
  def temporary(read, r):
    shape = jax.ShapeDtypeStruct
    args = shape((1, 24, 24, 8), jnp.float32), shape((1, r, 24, 24, 8), jnp.float32)
    return jax.jit(read).lower(*args).compile().memory_analysis().temp_size_in_bytes

  features = 24 * 24 * 8 * 4
  for read in (affinity.read_jointly, affinity.read_twice_normalised):
    grown = temporary(read, 8) - temporary(read, 2)
    assert grown <= 2 * 6 * features  # copies of the references themselves
