"""EfficientNet-Lite: each tensor of the port fills its own variable."""

import flax.traverse_util
import numpy as np
import pytest

from vosjax import convert

# Groups of blocks: channels, size of the kernel, blocks, as the papers list them.
LITE0 = (
  (16, 3, 1),
  (24, 3, 2),
  (40, 5, 2),
  (80, 3, 3),
  (112, 5, 3),
  (192, 5, 4),
  (320, 3, 1),
)
LITE2 = (
  (16, 3, 1),
  (24, 3, 3),
  (48, 5, 3),
  (88, 3, 4),
  (120, 5, 4),
  (208, 5, 5),
  (352, 3, 1),
)
# Stage of each group.
STAGES = ("stage1", "stage1", "stage2", "stage3", "stage3", "stage4", "stage4")


def official_tensors(groups):
  """Names, shapes and our paths of the port's tensors."""
  tensors = {}

  def conv_norm(conv, norm, path, *shape):
    tensors[f"{conv}.weight"] = shape, path and f"params/{path}/conv/kernel"
    for leaf, ours in (
      ("weight", "params/{}/scale"),
      ("bias", "params/{}/bias"),
      ("running_mean", "batch_stats/{}/mean"),
      ("running_var", "batch_stats/{}/var"),
    ):
      place = path and ours.format(f"{path}/tf_norm")
      tensors[f"{norm}.{leaf}"] = shape[:1], place
    tensors[f"{norm}.num_batches_tracked"] = (), None

  conv_norm("_conv_stem", "_bn0", "stem", 32, 3, 3, 3)
  number, inputs, in_stage = 0, 32, dict.fromkeys(STAGES, 0)
  for stage, (channels, size, count) in zip(STAGES, groups, strict=True):
    for _ in range(count):
      official, ours = f"_blocks.{number}", f"{stage}/block{in_stage[stage]}"
      wide = inputs * (6 if number else 1)
      for conv, norm, unit, shape in (
        ("_expand_conv", "_bn0", "expand", (wide, inputs, 1, 1)),
        ("_depthwise_conv", "_bn1", "depthwise", (wide, 1, size, size)),
        ("_project_conv", "_bn2", "project", (channels, wide, 1, 1)),
      ):
        if number or unit != "expand":
          path = f"{ours}/{unit}"
          conv_norm(f"{official}.{conv}", f"{official}.{norm}", path, *shape)
      number, inputs = number + 1, channels
      in_stage[stage] += 1
  conv_norm("_conv_head", "_bn1", None, 1280, inputs, 1, 1)
  tensors |= {"_fc.weight": ((1000, 1280), None), "_fc.bias": ((1000,), None)}
  return tensors


def state_dict_of(groups):
  """Every tensor is filled with its own index in the state dict."""
  return {
    name: np.full(shape, i, np.float32)
    for i, (name, (shape, _)) in enumerate(official_tensors(groups).items())
  }


@pytest.mark.parametrize(
  ("groups", "variant"),
  [(LITE0, "efficientnet_lite0"), (LITE2, "efficientnet_lite2")],
)
def test_every_tensor_fills_its_own_variable(groups, variant):
  official = state_dict_of(groups)
  assert convert.find_fields("efficientnet", official) == {"variant": variant}
  variables = convert.convert("efficientnet", official, variant=variant)
  ours = flax.traverse_util.flatten_dict(variables, sep="/")
  expected = {
    path: official[name] for name, (_, path) in official_tensors(groups).items() if path
  }
  assert ours.keys() == expected.keys()
  for path, value in expected.items():
    assert (ours[path] == value.flat[0]).all(), path


def test_depthwise_kernels_are_transposed():
  official, name = state_dict_of(LITE0), "_blocks.3._depthwise_conv.weight"
  weight = official[name] = np.random.default_rng(0).random((144, 1, 5, 5), np.float32)
  params = convert.convert("efficientnet", official)["params"]
  kernel = params["stage2"]["block0"]["depthwise"]["conv"]["kernel"]
  np.testing.assert_array_equal(kernel, weight.transpose(2, 3, 1, 0))


@pytest.mark.parametrize(
  ("change", "text"),
  [
    ({"_swish.weight": np.zeros(1)}, r"no rule for \['_swish.weight'\]"),
    (
      {"_blocks.0._bn1.bias": None},
      r"never filled \['params/stage1/block0/depthwise/tf_norm/bias'\]",
    ),
    (
      {"_conv_stem.weight": np.zeros((32, 3, 5, 5))},
      r"wrong shape \['_conv_stem.weight \(32, 3, 5, 5\) for params/stem/conv/kernel",
    ),
  ],
)
def test_a_tensor_that_does_not_match_is_named(change, text):
  changed = state_dict_of(LITE0) | change
  official = {name: value for name, value in changed.items() if value is not None}
  with pytest.raises(ValueError, match=rf"variant=efficientnet_lite0.*{text}"):
    convert.convert("efficientnet", official, variant="efficientnet_lite0")


def test_another_network_is_refused():
  official = {
    name: value
    for name, value in state_dict_of(LITE0).items()
    if not name.startswith("_blocks.15.")
  }
  with pytest.raises(ValueError, match="15 blocks with at most 192 channels.*lite4"):
    convert.find_fields("efficientnet", official)
  with pytest.raises(ValueError, match="0 blocks with at most 0 channels"):
    convert.find_fields("efficientnet", {"fc.weight": np.zeros(1)})
