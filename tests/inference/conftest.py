"""A short video for the engine."""

import functools

import jax
import numpy as np
import pytest

SIZE = (32, 48)
LENGTH = 5


@pytest.fixture(scope="session")
def apply():
  """Calls a method of a model, compiled once per model and shapes."""

  @functools.partial(jax.jit, static_argnums=(0, 1))
  def call(model, method, variables, *args):
    return model.apply(variables, *args, method=method)

  return call


@pytest.fixture(scope="module")
def frames():
  rng = np.random.default_rng(1)
  return rng.integers(0, 256, (LENGTH, *SIZE, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def first():
  """Objects 1, 2 and 3 side by side, background around them."""
  labels = np.zeros(SIZE, np.uint8)
  for i in range(3):
    labels[4:28, 2 + 15 * i : 14 + 15 * i] = i + 1
  return labels
