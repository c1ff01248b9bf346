"""Stand-in checkpoints, converted once for all tests of models."""

import functools
import importlib.util
import pathlib

import pytest

from vosjax import convert, models


@pytest.fixture(scope="session")
def official(golden):
  """(model, variables) of an official checkpoint's stand-in, by model name."""
  path = pathlib.Path(__file__).resolve().parents[1] / "golden" / "weights.py"
  spec = importlib.util.spec_from_file_location("golden_weights", path)
  weights = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(weights)

  @functools.cache
  def load(name, **fields):
    state_dict = weights.reference_state_dict(golden(f"{name}/manifest.json"))
    return models.build(name, **fields), convert.convert(name, state_dict, **fields)

  return load
