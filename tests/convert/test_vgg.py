"""torchvision's VGG-16: each tensor fills its variable, dense layers convolve."""

import flax.traverse_util
import jax
import numpy as np
import pytest

from vosjax import checkpoints, convert
from vosjax.convert import vgg
from vosjax.convert.rules import apply_rules
from vosjax.models.backbones.fcn import VGG

# Convolutions of torchvision's `features` (configuration D): place, inputs, outputs.
FEATURES = (
  (0, 3, 64),
  (2, 64, 64),
  (5, 64, 128),
  (7, 128, 128),
  (10, 128, 256),
  (12, 256, 256),
  (14, 256, 256),
  (17, 256, 512),
  (19, 512, 512),
  (21, 512, 512),
  (24, 512, 512),
  (26, 512, 512),
  (28, 512, 512),
)


def official_shapes():
  """Names and shapes of torchvision's state dict."""
  shapes = {}
  for place, inputs, outputs in FEATURES:
    shapes[f"features.{place}.weight"] = (outputs, inputs, 3, 3)
    shapes[f"features.{place}.bias"] = (outputs,)
  for place, inputs, outputs in ((0, 25088, 4096), (3, 4096, 4096), (6, 4096, 1000)):
    shapes[f"classifier.{place}.weight"] = (outputs, inputs)
    shapes[f"classifier.{place}.bias"] = (outputs,)
  return shapes


def test_every_tensor_has_a_variable_of_its_size(monkeypatch):
  """Only sizes are compared: the real tensors take half a gigabyte."""
  state_dict = {
    name: np.broadcast_to(np.float32(i), shape)
    for i, (name, shape) in enumerate(official_shapes().items())
  }
  shapes = checkpoints.variable_shapes(VGG())
  monkeypatch.setattr(jax.numpy, "asarray", lambda x, dtype: (x.flat[0], x.shape))
  found = apply_rules("vgg", vgg.RULES, state_dict, shapes)
  found = flax.traverse_util.flatten_dict(found, sep="/")
  order = [
    f"conv{s}_{i}" for s, n in enumerate((2, 2, 3, 3, 3), 1) for i in range(1, n + 1)
  ]
  for number, name in enumerate((*order, "fc6", "fc7")):
    assert found[f"params/{name}/kernel"][0] == 2 * number
    assert found[f"params/{name}/bias"][0] == 2 * number + 1
  assert len(found) == 2 * 15


def test_hidden_layers_compute_the_same_as_dense_layers():
  """torchvision flattens pool5, channels first, before the first one."""
  rng = np.random.default_rng(0)
  pool5, hidden = rng.normal(size=(3, 7, 7)), rng.normal(size=4)
  state_dict = {
    "classifier.0.weight": rng.normal(size=(4, 3 * 49)),
    "classifier.3.weight": rng.normal(size=(2, 4)),
  }
  shapes = {
    "params": {
      "fc6": {"kernel": jax.ShapeDtypeStruct((7, 7, 3, 4), np.float32)},
      "fc7": {"kernel": jax.ShapeDtypeStruct((1, 1, 4, 2), np.float32)},
    }
  }
  params = apply_rules("vgg", vgg.RULES, state_dict, shapes)["params"]
  fc6 = np.einsum("yxco,cyx->o", params["fc6"]["kernel"], pool5)
  matrix = state_dict["classifier.0.weight"]
  np.testing.assert_allclose(fc6, matrix @ pool5.ravel(), rtol=1e-5)
  fc7 = np.einsum("yxco,c->o", params["fc7"]["kernel"], hidden)
  np.testing.assert_allclose(fc7, state_dict["classifier.3.weight"] @ hidden, rtol=1e-5)


def test_another_vgg_is_refused():
  few = {"features.30.weight": np.zeros((512, 512, 3, 3), np.float32)}  # VGG-19
  with pytest.raises(ValueError, match=r"no rule for \['features.30.weight'\]; never"):
    convert.convert("vgg", few)
