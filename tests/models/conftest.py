"""Stand-in checkpoints, converted once for all tests of models."""

import functools
import importlib.util
import pathlib

import pytest

from vosjax import convert, models


def manifests(name, *, one_shot=False, **fields):
  """Files that list a checkpoint's tensors, by the prefix of their names."""
  if name not in ("rvos", "rsis"):
    return {"": "manifest.json"}
  kind = {"rvos": "_mask_st" if one_shot else "_st"}.get(name, "")
  return {
    "encoder.": "manifest_encoder.json",
    "decoder.": f"manifest_decoder{kind}.json",
  }


@pytest.fixture(scope="session")
def stand_in(golden):
  """Stand-in state dict of an official checkpoint, by model name."""
  path = pathlib.Path(__file__).resolve().parents[1] / "golden" / "weights.py"
  spec = importlib.util.spec_from_file_location("golden_weights", path)
  weights = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(weights)

  def make(name, **fields):
    state_dict = {}
    for prefix, manifest in manifests(name, **fields).items():
      tensors = weights.reference_state_dict(golden(f"{name}/{manifest}"))
      state_dict |= {prefix + key: value for key, value in tensors.items()}
    return state_dict

  return make


@pytest.fixture(scope="module")
def official(stand_in):
  """(model, variables) of an official checkpoint's stand-in, by model name.

  Only the last two are kept, and none after a module: they take 150 to 300 MB each.
  """

  @functools.lru_cache(maxsize=2)
  def load(name, **fields):
    state_dict = stand_in(name, **fields)
    return models.build(name, **fields), convert.convert(name, state_dict, **fields)

  return load
