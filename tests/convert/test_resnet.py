"""torchvision's ResNets: each tensor fills its own variable, the function is kept."""

import jax.numpy as jnp
import numpy as np
import pytest

from vosjax import convert
from vosjax.models.backbones.resnet import BLOCKS, ResNet

# Of torchvision 0.20, without the classifier: convolutions and BatchNorm affine.
PARAMETERS = {
  "resnet18": 11_176_512,
  "resnet34": 21_284_672,
  "resnet50": 23_508_032,
  "resnet101": 42_500_160,
  "resnet152": 58_143_808,
}


def official_shapes(variant):
  """Names and shapes of torchvision's state dict, in its order."""
  expansion = 1 if variant in ("resnet18", "resnet34") else 4
  shapes = {}

  def conv_norm(conv, norm, *shape):
    shapes[f"{conv}.weight"] = shape
    for leaf in ("weight", "bias", "running_mean", "running_var"):
      shapes[f"{norm}.{leaf}"] = shape[:1]
    shapes[f"{norm}.num_batches_tracked"] = ()

  conv_norm("conv1", "bn1", 64, 3, 7, 7)
  inputs = 64
  for stage, blocks in enumerate(BLOCKS[variant], 1):
    width = 32 * 2**stage
    out = width * expansion
    for i in range(blocks):
      block = f"layer{stage}.{i}"
      units = [(width, inputs, 3), (width, width, 3)]
      if expansion == 4:
        units = [(width, inputs, 1), (width, width, 3), (out, width, 1)]
      for j, (o, c, size) in enumerate(units, 1):
        conv_norm(f"{block}.conv{j}", f"{block}.bn{j}", o, c, size, size)
      if i == 0 and (stage > 1 or inputs != out):
        conv_norm(f"{block}.downsample.0", f"{block}.downsample.1", out, inputs, 1, 1)
      inputs = out
  shapes |= {"fc.weight": (1000, inputs), "fc.bias": (1000,)}
  return shapes


def state_dict_of(variant):
  """Every tensor is filled with its own index in the state dict."""
  return {
    name: np.full(shape, i, np.float32)
    for i, (name, shape) in enumerate(official_shapes(variant).items())
  }


def convert_resnet(state_dict):
  """The variant, and the variables of our ResNet."""
  fields = convert.find_fields("resnet", convert.strip_data_parallel(state_dict))
  return fields["variant"], convert.convert("resnet", state_dict, **fields)


def leaves(tree, path=""):
  if not isinstance(tree, dict):
    return {path: tree}
  found = {}
  for name, child in tree.items():
    found |= leaves(child, f"{path}/{name}" if path else name)
  return found


def our_path(name):
  """Where a tensor belongs, written independently of the rules."""
  *module, leaf = name.split(".")
  if leaf == "num_batches_tracked" or module == ["fc"]:
    return None
  place = ["stem"]
  if module[0].startswith("layer"):
    stage, block, *module = module
    unit = module[0].replace("bn", "conv")
    unit = "shortcut" if unit == "downsample" else unit
    place = [stage.replace("layer", "stage"), f"block{block}", unit]
  if module[0].startswith("conv") or module == ["downsample", "0"]:
    return "/".join(["params", *place, "conv", "kernel"])
  collection = "batch_stats" if leaf.startswith("running") else "params"
  ours = {"weight": "scale", "running_mean": "mean", "running_var": "var"}
  return "/".join([collection, *place, "norm", ours.get(leaf, leaf)])


@pytest.mark.parametrize("variant", BLOCKS)
def test_every_tensor_fills_its_own_variable(variant):
  official = state_dict_of(variant)
  found, variables = convert_resnet(official)
  assert found == variant
  ours = leaves(variables)
  expected = {our_path(name): value for name, value in official.items()}
  del expected[None]
  assert ours.keys() == expected.keys()
  for path, value in expected.items():
    assert (ours[path] == value.flat[0]).all(), path
  count = sum(v.size for path, v in ours.items() if path.startswith("params"))
  assert count == PARAMETERS[variant]


def test_kernels_are_transposed_and_not_reshaped():
  official = state_dict_of("resnet18")
  weight = official["layer1.0.conv1.weight"] = np.random.default_rng(0).random(
    (64, 64, 3, 3), np.float32
  )
  _, variables = convert_resnet(official)
  kernel = variables["params"]["stage1"]["block0"]["conv1"]["conv"]["kernel"]
  assert kernel.dtype == np.float32
  np.testing.assert_array_equal(kernel, np.moveaxis(weight, (2, 3, 1, 0), (0, 1, 2, 3)))


def test_the_stem_computes_the_official_function():
  official = {
    name: value if "running_var" in name else value * 0
    for name, value in state_dict_of("resnet18").items()
  }
  rng = np.random.default_rng(1)
  weight = official["conv1.weight"] = rng.standard_normal((64, 3, 7, 7), np.float32)
  scale, bias, mean = (rng.standard_normal(64).astype(np.float32) for _ in range(3))
  var = rng.uniform(0.5, 2, 64).astype(np.float32)
  official |= {
    "bn1.weight": scale,
    "bn1.bias": bias,
    "bn1.running_mean": mean,
    "bn1.running_var": var,
  }
  _, variables = convert_resnet(official)
  image = rng.standard_normal((1, 32, 32, 3), np.float32)
  stem = ResNet("resnet18").apply(variables, jnp.asarray(image)).stem
  window = image[0, 5:12, 9:16].transpose(2, 0, 1)  # of output (4, 6): stride 2, pad 3
  value = (weight * window).sum((1, 2, 3))
  value = (value - mean) / np.sqrt(var + 1e-5) * scale + bias
  np.testing.assert_allclose(stem[0, 4, 6], np.maximum(value, 0), rtol=1e-4, atol=1e-4)


def test_names_with_the_prefix_of_data_parallel_are_accepted():
  official = state_dict_of("resnet18")
  _, variables = convert_resnet({f"module.{k}": v for k, v in official.items()})
  assert variables["params"]["stem"]["norm"]["scale"][0] == 1


@pytest.mark.parametrize(
  ("name", "text"),
  [
    ("layer4.1.conv2.weight", "never filled"),
    ("bn1.running_var", "never filled"),
    ("layer2.0.downsample.0.weight", "never filled"),
  ],
)
def test_a_missing_tensor_is_named(name, text):
  official = state_dict_of("resnet18")
  del official[name]
  with pytest.raises(ValueError, match=f"variant=resnet18.*{text}.*{our_path(name)}"):
    convert_resnet(official)


def test_other_networks_are_refused_by_their_blocks():
  official = state_dict_of("resnet34")
  without = {k: v for k, v in official.items() if not k.startswith("layer3.5.")}
  with pytest.raises(ValueError, match=r"has \(3, 4, 5, 3\) blocks .*resnet152"):
    convert_resnet(without)
  with pytest.raises(ValueError, match="no ResNet"):
    convert_resnet({"features.0.weight": np.zeros(1)})


def test_the_classifier_is_reported_unless_it_is_dropped_deliberately():
  rules = convert.resnet_rules("", "", drop_classifier=False)
  target = {"params": {"x": np.zeros(1)}}
  with pytest.raises(ValueError, match="no rule for .'fc.bias'"):
    convert.apply_rules("m", rules, {"fc.bias": np.zeros(1)}, target)
