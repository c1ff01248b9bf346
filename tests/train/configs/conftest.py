"""Configurations as plain dictionaries, to compare them."""

import pytest


def _flatten(tree, prefix=""):
  flat = {}
  for key, value in tree.items():
    name = f"{prefix}{key}"
    flat |= _flatten(value, f"{name}.") if isinstance(value, dict) else {name: value}
  return flat


@pytest.fixture(scope="session")
def flatten():
  """Dotted keys of a configuration -> values, without its title."""

  def flatten(config):
    flat = _flatten(config.to_dict())
    del flat["title"]
    return flat

  return flatten
