"""Golden values on real masks, which are not part of the repository."""

import contextlib
import json

import numpy as np
import pytest


@pytest.fixture(scope="session")
def shared_metrics(shared):
  """Opens a file in `../shared/reference/metrics`; arrays are read when used."""
  with contextlib.ExitStack() as files:

    def load(name: str):
      path = shared / "reference" / "metrics" / name
      if path.suffix == ".json":
        return json.loads(path.read_text())
      return files.enter_context(np.load(path))

    yield load
