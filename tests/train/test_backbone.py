"""Weights of a backbone go to their place in a model, or are refused."""

import functools

import flax.traverse_util
import jax
import numpy as np
import pytest

from vosjax import checkpoints
from vosjax.train.backbone import load_backbone, replace

RESNET = {"variant": "resnet18", "width": 4}
DEEPLAB = {"backbone": "resnet18", "width": 4, "features": 8, "branch_features": 4}
LITE = {"variant": "efficientnet_lite0", "width": 4}
WITH_LITE = {"backbone": "efficientnet_lite0", "width": 4}
PARTS = {"resnet": RESNET, "deeplab": DEEPLAB, "efficientnet": LITE}
FIELDS = {
  "agame": {"backbone": "resnet18", "width": 4, "features": 8, "fusion_features": 8},
  "cosnet": DEEPLAB,
  "ris": {"channels": 2},
  "rvos": {"backbone": "resnet18", "width": 4, "features": 16},
}
# Those of models with the part as their backbone, where the defaults have another.
CHANGES = {
  ("agame", "efficientnet"): WITH_LITE,
  ("cosnet", "efficientnet"): WITH_LITE,
  ("rvos", "efficientnet"): WITH_LITE,
}
# Model, part -> path of the part.
PLACES = {
  ("agame", "resnet"): "backbone",
  ("cosnet", "resnet"): "encoder/resnet",
  ("cosnet", "deeplab"): "encoder",
  ("rvos", "resnet"): "encoder/backbone",
  ("agame", "efficientnet"): "backbone",
  ("cosnet", "efficientnet"): "encoder/efficientnet",
  ("rvos", "efficientnet"): "encoder/backbone",
}


@functools.cache
def shapes_of(name, **fields):
  return checkpoints.variable_shapes(checkpoints.build(name, fields))


def draw(name, fields, seed=0):
  """Variables that all differ."""
  rng = np.random.default_rng(seed)
  return jax.tree.map(
    lambda leaf: rng.random(leaf.shape).astype(leaf.dtype), shapes_of(name, **fields)
  )


def flatten(tree):
  return flax.traverse_util.flatten_dict(tree, sep="/")


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
  """Folders of small backbones and a small A-GAME."""
  root = tmp_path_factory.mktemp("checkpoints")
  for name, fields in (PARTS | {"agame": FIELDS["agame"]}).items():
    checkpoints.save(root / name, name, fields, draw(name, fields))
  return root


@pytest.mark.parametrize(("name", "part"), PLACES)
def test_a_part_is_put_in_its_place_and_nothing_else_changes(saved, name, part):
  fields = FIELDS[name] | CHANGES.get((name, part), {})
  before = draw(name, fields, seed=1)
  loaded = load_backbone(saved / part, shapes_of(name, **fields))
  after = flatten(replace(before, loaded))
  expected = flatten(before)
  for path, value in flatten(draw(part, PARTS[part])).items():
    collection, _, rest = path.partition("/")
    place = f"{collection}/{PLACES[name, part]}/{rest}"
    assert place in expected
    expected[place] = value
  assert after.keys() == expected.keys()
  for path, value in expected.items():
    np.testing.assert_array_equal(after[path], value, err_msg=path)
  jax.tree.map(np.testing.assert_array_equal, before, draw(name, fields, seed=1))


@pytest.mark.parametrize(
  ("part", "name", "change", "text"),
  [
    (
      "resnet",
      "agame",
      {"width": 8},
      r"width=4\), .* the model's backbone .*params/backbone/stage1",
    ),
    ("resnet", "agame", WITH_LITE, r"the model's backbone .*is \(.*expected nothing"),
    ("resnet", "agame", {"backbone": "resnet34"}, "block2/.* is missing, expected"),
    ("deeplab", "cosnet", {"backbone": "resnet34"}, "block2/.* is missing, expected"),
    (
      "deeplab",
      "cosnet",
      {"deep": "pyramid"},
      "the model's encoder .*params/encoder/pyramid/atrous_0/conv/kernel",
    ),
    (
      "deeplab",
      "cosnet",
      {"features": 16},
      r"features=8, .* the model's encoder .*params/encoder/pyramid/join",
    ),
  ],
)
def test_a_part_of_another_width_or_depth_is_named(saved, part, name, change, text):
  with pytest.raises(ValueError, match=rf"holds {part} \(.*{text}"):
    load_backbone(saved / part, shapes_of(name, **FIELDS[name] | change))


def test_ris_takes_a_vgg(monkeypatch):
  """Shapes stand for its weights, which take half a gigabyte."""

  vgg = checkpoints.build("vgg", {})
  monkeypatch.setattr(checkpoints, "load", lambda _: (vgg, shapes_of("vgg")))
  monkeypatch.setattr(checkpoints, "title", lambda _: "vgg")
  model = shapes_of("ris", extractor="fcn8", channels=2)
  loaded = flatten(load_backbone("weights/vgg", model))
  expected = {path for path in flatten(model) if path.startswith("params/fcn/vgg/")}
  assert loaded.keys() == expected
  assert len(loaded) == 30


@pytest.mark.parametrize(
  ("part", "name", "text"),
  [
    (
      "agame",
      "agame",
      r"holds agame \(.*not a backbone.*convert deeplab\|.*\|resnet\|vgg",
    ),
    (
      "deeplab",
      "agame",
      r"holds deeplab \(.*has no such part.*'backbone'.*Give",
    ),
    ("resnet", "ris", r"holds resnet \(.*the model has no such part.*'cells_0'"),
  ],
)
def test_a_checkpoint_of_no_part_of_the_model_is_refused(saved, part, name, text):
  with pytest.raises(ValueError, match=text):
    load_backbone(saved / part, shapes_of(name, **FIELDS[name]))
