"""The DeepLabv3 from which COSNet is trained: its encoder under other names."""

import flax.traverse_util
import jax
import numpy as np
import pytest

from vosjax import convert

NARROW = {"width": 4, "features": 16, "branch_features": 32}


def narrow(shape):
  """A sixteenth of all channels."""
  return [n // 16 if n >= 64 else n for n in shape]


@pytest.fixture(scope="module")
def cosnet(golden):
  """Every tensor of the official COSNet, narrow and filled with its own index."""
  manifest = golden("cosnet/manifest.json")
  return {
    name: np.full(narrow(entry["shape"]), i, np.float32)
    for i, (name, entry) in enumerate(manifest.items())
  }


def deeplab(cosnet, wrapper):
  """The encoder as the released program finds it in the file."""
  return {
    name.replace("encoder.", wrapper, 1): value
    for name, value in cosnet.items()
    if name.startswith("encoder.")
  }


def numbers(variables):
  flat = flax.traverse_util.flatten_dict(jax.device_get(variables), sep="/")
  assert all((x == x.flat[0]).all() for x in flat.values())
  return {path: (x.shape, x.flat[0]) for path, x in flat.items()}


def test_tensors_are_placed_like_those_of_a_cosnet(cosnet):
  state_dict = deeplab(cosnet, "module.")
  fields = convert.find_fields("deeplab", state_dict)
  assert fields == {"backbone": "resnet101"}
  found = numbers(convert.convert("deeplab", state_dict, **fields, **NARROW))
  expected = {
    path.replace("/encoder/", "/"): value
    for path, value in numbers(convert.convert("cosnet", cosnet, **NARROW)).items()
    if "/encoder/" in path
  }
  assert "params/saliency_head/kernel" in expected
  assert "params/pyramid/activation/negative_slope" in expected
  assert found == expected


@pytest.mark.parametrize("wrapper", ["module.", "Scale.", ""])
def test_the_first_component_of_every_name_is_ignored(cosnet, wrapper):
  state_dict = deeplab(cosnet, wrapper)
  assert convert.find_fields("deeplab", state_dict) == {"backbone": "resnet101"}
  few = {name: value for name, value in state_dict.items() if "layer" not in name}
  with pytest.raises(ValueError, match=r"no rule for \[\]; never filled.*pyramid"):
    convert.convert("deeplab", few, **NARROW)  # the others have their places


def test_unknown_tensors_are_named(cosnet):
  with pytest.raises(ValueError, match=r"no rule for \['linear_e.weight'"):
    convert.convert("deeplab", cosnet, **NARROW)
  with pytest.raises(ValueError, match="no ResNet of"):
    convert.find_fields("deeplab", {"module.features.0.weight": np.zeros(1)})
