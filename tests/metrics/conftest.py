"""Goldens on real masks, which stay outside of the project."""

import json

import numpy as np
import pytest


@pytest.fixture(scope="session")
def shared_metrics(shared):
  """Reads a file of `../shared/reference/metrics`."""

  def load(name: str):
    path = shared / "reference" / "metrics" / name
    if path.suffix == ".json":
      return json.loads(path.read_text())
    with np.load(path) as arrays:
      return dict(arrays)

  return load
