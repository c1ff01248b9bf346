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


@pytest.fixture
def traces(monkeypatch):
  """How often each method of the network is traced."""
  from vosjax import models  # only after jaxtyping has installed its import hook

  counts = dict.fromkeys(("encode", "init_state", "segment", "update"), 0)

  def counted(name):
    method = getattr(models.AGame, name)

    def call(*args, **kwargs):
      counts[name] += 1
      return method(*args, **kwargs)

    return call

  for name in counts:
    monkeypatch.setattr(models.AGame, name, counted(name))
  return counts


@pytest.fixture
def compilations():
  """One item for each program that XLA compiles, eager operations included."""
  events = []

  def note(event, seconds, **_):
    if event == "/jax/core/compile/backend_compile_duration":
      events.append(seconds)

  jax.monitoring.register_event_duration_secs_listener(note)
  yield events
  jax.monitoring.unregister_event_duration_listener(note)
