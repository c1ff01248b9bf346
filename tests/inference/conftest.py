"""A short video and small models, whose programs the tests of the engine share."""

import functools

import jax
import numpy as np
import pytest

from vosjax import models

SIZE = (32, 48)
LENGTH = 5

SMALL = {"backbone": "resnet18", "width": 4}
FIELDS = {
  "cosnet": SMALL
  | {
    "features": 8,
    "branch_features": 4,
    "rates": (1, 2),
    "size": None,
    "num_references": 3,
  },
  "ris": {"channels": 4, "num_convolutions": 2, "num_objects": 4},
  "rsis": SMALL | {"features": 16, "num_objects": 4, "num_classes": 3},
  "rvos": SMALL | {"features": 16, "num_objects": 3},
}


@pytest.fixture(scope="session")
def small():
  """Makes (model, variables) by name and fields; no variable has its initial value."""

  @functools.cache
  def make(name, **fields):
    model = models.build(name, **FIELDS[name] | fields)
    frames = np.zeros((1, *SIZE, 3), np.float32)
    masks = np.zeros((1, 4, *SIZE), np.float32)
    shapes = jax.eval_shape(model.init, jax.random.key(0), frames, masks)
    rng = np.random.default_rng(3)

    def leaf(path, x):
      if path[-1].key in ("scale", "var"):
        return rng.uniform(0.5, 1.5, x.shape).astype(np.float32)
      fan_in = np.prod(x.shape[:-1]) if x.ndim > 1 else 4
      # COSNet normalises frames to about -130 to 130.
      gain = 0.01 if name == "cosnet" and "stem" in str(path) else 1.5
      return rng.normal(0, gain / np.sqrt(fan_in), x.shape).astype(np.float32)

    return model, jax.tree_util.tree_map_with_path(leaf, shapes)

  return make


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
