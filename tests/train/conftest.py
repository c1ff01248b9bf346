"""The toy run, importable by the tests of this folder."""

import importlib.util
import pathlib

import pytest


@pytest.fixture(scope="session")
def toy():
  path = pathlib.Path(__file__).with_name("toy.py")
  spec = importlib.util.spec_from_file_location("toy", path)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module
