"""The toy run, small datasets in their real layouts, and small models to score."""

import copy
import functools
import importlib
import importlib.util
import json
import pathlib
import re
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from PIL import Image

from vosjax import checkpoints, models
from vosjax.types import VideoBatch

SIZE = (32, 48)
SMALL = {"backbone": "resnet18", "width": 4}
FIELDS = {
  "agame": SMALL | {"features": 8, "fusion_features": 8},
  "cosnet": SMALL
  | {"features": 8, "branch_features": 4, "rates": (1, 2), "size": None},
  "rvos": SMALL | {"features": 16, "num_objects": 4},
}


@pytest.fixture(scope="session")
def toy():
  path = pathlib.Path(__file__).with_name("toy.py")
  spec = importlib.util.spec_from_file_location("toy", path)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


@pytest.fixture(scope="session")
def get_config():
  """A built-in configuration by NAME or NAME:VARIANT, without previews."""

  def get(name):
    module, _, variant = name.partition(":")
    module = importlib.import_module(f"vosjax.train.configs.{module}")
    config = module.get_config(variant)
    config.evaluation.num_previews = 0
    return config

  return get


@pytest.fixture(scope="session")
def make_update():
  """Makes the update of the first stage: the step, and shapes of its state and batch.

  Takes a configuration, the length of the clips and the number of devices.
  """
  # Here, because tests are skipped where packages of training are not installed.
  from vosjax.train import run
  from vosjax.train.config import ordered_stages
  from vosjax.train.recipes import RECIPES
  from vosjax.train.state import TrainState
  from vosjax.train.step import make_mesh, make_train_step

  def make(config, clip_length, num_devices):
    stage = next(iter(ordered_stages(config).values()))
    if "unroll_steps" in stage:
      stage.unroll_steps = 1  # as on an accelerator
    model = run.build(config)
    recipe = RECIPES[config.model.name]
    tx = recipe.clipped_optimizer(model, stage)

    def shape(*dims, kind=np.uint8):
      return jax.ShapeDtypeStruct(dims, kind)

    b, (h, w) = stage.batch_size, stage.size
    masks = shape(1, 1, h, w, kind=np.float32)
    variables = jax.eval_shape(
      model.init, jax.random.key(0), shape(1, h, w, 3, kind=np.float32), masks
    )
    state = jax.eval_shape(lambda x: TrainState.create(x, tx, config.seed), variables)
    classes = shape(b, stage.max_instances) if "max_instances" in stage else None
    batch = VideoBatch(
      shape(b, clip_length, h, w, 3), shape(b, clip_length, h, w), classes
    )
    mesh = make_mesh(b, jax.devices()[:num_devices])
    assert mesh.size == num_devices
    return make_train_step(recipe.objective(model, stage), tx, mesh), state, batch

  return make


@pytest.fixture(scope="session")
def trained(tiny, tmp_path_factory):
  """Saves a small network with random weights; returns path, model and variables."""

  @functools.cache
  def make(name, **fields):
    fields = FIELDS[name] | fields
    model = models.build(name, **fields)
    if name == "agame":  # on the point of seeing foreground here and background there
      variables = copy.deepcopy(tiny[1])
      variables["params"]["refinement"]["head"]["bias"] = np.float32([-0.1, 0.1])
    else:
      variables = noise(model, stem=0.01 if name == "cosnet" else 1.5)
    folder = tmp_path_factory.mktemp("models") / name
    checkpoints.save(folder, name, fields, variables)
    return SimpleNamespace(path=str(folder), model=model, variables=variables)

  return make


def noise(model, stem):
  """Random variables of a typical scale; COSNet's inputs are in the +-130 range."""
  rng = np.random.default_rng(3)

  def leaf(path, x):
    if path[-1].key in ("scale", "var"):
      return rng.uniform(0.5, 1.5, x.shape).astype(np.float32)
    fan_in = np.prod(x.shape[:-1]) if x.ndim > 1 else 4
    gain = stem if "stem" in str(path) else 1.5
    return rng.normal(0, gain / np.sqrt(fan_in), x.shape).astype(np.float32)

  return jax.tree_util.tree_map_with_path(leaf, checkpoints.variable_shapes(model))


def truth(t, ids=(1, 2)):
  """Object 1 moves to the right, object 2 stands still."""
  labels = np.zeros(SIZE, np.uint8)
  labels[4:22, 2 + 2 * t : 18 + 2 * t] = 1
  labels[14:30, 28:44] = 2
  return np.where(np.isin(labels, ids), labels, 0).astype(np.uint8)


def frame(t):
  """Both objects, in colours that change with time."""
  colours = np.array([(60, 60, 60), (250, 120, 20 * t), (20, 200 - 9 * t, 240)])
  return colours[truth(t)].astype(np.uint8)


@pytest.fixture(scope="session")
def sets():
  """Writes videos with annotations by frame number, and reads their frames."""

  def write(root, name, length, annotations, *, below="", stem="{:05d}", suffix="jpg"):
    for t in range(length):
      path = root / "JPEGImages" / below / name / f"{stem.format(t)}.{suffix}"
      path.parent.mkdir(parents=True, exist_ok=True)
      Image.fromarray(frame(t)).save(path)
    for t, labels in annotations.items():
      path = root / "Annotations" / below / name / f"{stem.format(t)}.png"
      path.parent.mkdir(parents=True, exist_ok=True)
      image = Image.fromarray(labels)
      image.putpalette(bytes(range(256)) * 3)
      image.save(path)

  def read(root, name):
    files = (root / "JPEGImages" / name).iterdir()
    files = sorted(files, key=lambda path: int(re.sub(r"\D", "", path.stem)))
    return [np.asarray(Image.open(path).convert("RGB")) for path in files]

  return SimpleNamespace(write=write, read=read, truth=truth)


@pytest.fixture
def davis(sets, tmp_path):
  """Root of two lists of two videos; `val` is annotated, `test-dev` in frame 0 only."""
  root = tmp_path / "DAVIS"
  lists = {"val": ("bear", "tree"), "test-dev": ("deer", "orchid")}
  for year in ("2016", "2017"):
    (root / "ImageSets" / year).mkdir(parents=True)
    for subset, names in lists.items():
      (root / f"ImageSets/{year}/{subset}.txt").write_text("\n".join(names))
  for name in lists["val"]:
    sets.write(root, name, 5, {t: truth(t) for t in range(5)}, below="480p")
  for name in lists["test-dev"]:
    sets.write(root, name, 4, {0: truth(0)}, below="480p")
  return root


@pytest.fixture
def youtube_vos(sets, tmp_path):
  """Root of `train`, whose held-out videos are in a list, and of `valid`.

  In "late" nothing is annotated in the first frame, object 2 comes in the second and
  object 1 in the fourth; "early" has both from the first frame on.
  """
  root = tmp_path / "YouTubeVOS"
  shown = {
    "late": {t: truth(t, (2,) if t < 3 else (1, 2)) for t in (1, 2, 3, 4)},
    "early": {t: truth(t) for t in range(4)},
  }
  given = {"late": {1: truth(1, (2,)), 3: truth(3, (1,))}, "early": {0: truth(0)}}
  categories = {"1": "cat", "2": "yak"}
  for split, annotations in (("train", shown), ("valid", given)):
    meta = {}
    for name, length in (("late", 5), ("early", 4)):
      sets.write(root / split, name, length, annotations[name], stem="{:04d}5")
      meta[name] = {
        "objects": {
          i: {
            "category": category,
            "frames": [
              f"{t:04d}5" for t, labels in shown[name].items() if int(i) in labels
            ],
          }
          for i, category in categories.items()
        }
      }
    if split == "train":
      sets.write(root / split, "other", 2, {0: truth(0, (1,)), 1: truth(1, (1,))})
      other = {"category": "cat", "frames": ["00000", "00001"]}
      meta["other"] = {"objects": {"1": other}}
    (root / split / "meta.json").write_text(json.dumps({"videos": meta}))
  (root / "held_out.txt").write_text("late\nearly\n")
  return root


@pytest.fixture
def fbms(sets, tmp_path):
  """Root of two videos as datasets/export.py writes FBMS: two annotated frames each."""
  root = tmp_path / "FBMS"
  sets.write(root, "cars", 8, {t: truth(t) for t in (1, 6)}, stem="cars_{:02d}")
  sets.write(
    root, "tennis", 11, {t: truth(t) for t in (0, 10)}, stem="tennis{}", suffix="png"
  )
  return root


@pytest.fixture
def youtube_objects(sets, tmp_path):
  """Root of three shots, each in the folder of its category."""
  root = tmp_path / "YTO"
  for name in ("cat/0001", "cat/0004/002", "dog/0002"):
    sets.write(root, name, 6, {t: truth(t, (1,)) for t in (0, 5)})
  return root
