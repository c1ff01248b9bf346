"""Datasets of images with instances: what is missing, and what is held out."""

import numpy as np
import pytest
import scipy.io
from ml_collections import ConfigDict
from PIL import Image

from vosjax.train import feeds, image_datasets, run
from vosjax.train.recipes import instances


@pytest.fixture
def config(tmp_path):
  keys = ("voc", "sbd", "leaves", "cityscapes")
  return ConfigDict({"data": {key: str(tmp_path / key) for key in keys}})


@pytest.mark.parametrize(
  ("name", "key"),
  [
    ("voc", "voc"),
    ("leaves", "leaves"),
    ("cityscapes", "cityscapes"),
  ],
)
def test_a_missing_folder_is_named_with_how_to_get_it(config, name, key):
  with pytest.raises(ValueError, match=rf"datasets/.*README.*--config.data.{key}="):
    image_datasets.IMAGE_DATASETS[name](config, "train")


def save_images(root, images, annotations, kinds):
  """Makes the folders and one image per name; returns the labels of one instance."""
  for folder in (images, *annotations):
    (root / folder).mkdir(parents=True)
  for name in kinds:
    Image.new("RGB", (48, 32)).save(root / images / f"{name}.jpg")
  labels = np.zeros((32, 48), np.uint8)
  labels[8:24, 8:40] = 1
  return labels


def save_voc(root, kinds):
  """One image per name, whose only instance is of the class of that number."""
  folders = ("SegmentationObject", "SegmentationClass")
  labels = save_images(root, "JPEGImages", folders, kinds)
  for name, kind in kinds.items():
    Image.fromarray(labels).save(root / f"SegmentationObject/{name}.png")
    Image.fromarray(labels * kind).save(root / f"SegmentationClass/{name}.png")
  lists = root / "ImageSets/Segmentation"
  lists.mkdir(parents=True)
  for subset in ("train", "val"):
    (lists / f"{subset}.txt").write_text("\n".join(kinds))


def test_only_images_with_the_named_classes_are_scored(config, tmp_path):
  save_voc(tmp_path / "voc", {"dog": 12, "person": 15, "both": 15})
  config.data.voc_classes = ()
  assert len(image_datasets.voc(config, "val")) == 3
  config.data.voc_classes = ("person",)
  source = image_datasets.voc(config, "val")
  assert [still.name for still in source.stills] == ["person", "both"]
  assert feeds.origin(source) == f"from {tmp_path / 'voc'}"
  for names, text in (
    (("cow",), "val list of .*voc shows any of 'cow'"),
    (("human",), r"data.voc_classes: unknown classes \['human'\]; known: \['aer"),
  ):
    config.data.voc_classes = names
    with pytest.raises(ValueError, match=text):
      image_datasets.voc(config, "val")


def save_sbd(root, kinds):
  """The same images in the layout of SBD."""
  labels = save_images(root, "img", ("inst", "cls"), kinds)
  for name, kind in kinds.items():
    truth = {"GTinst": {"Segmentation": labels, "Categories": np.uint8([[kind]])}}
    scipy.io.savemat(root / f"inst/{name}.mat", truth)
    (root / f"cls/{name}.mat").touch()
  for subset in ("train", "val"):
    (root / f"{subset}.txt").write_text("\n".join(kinds))


def test_images_of_a_rare_class_are_all_trained_on(get_config, config, tmp_path):
  """Even after more others in a row than the pipeline skips."""
  save_voc(tmp_path / "voc", {"held_out": 15})
  others = {f"dog{i:03d}": 12 for i in range(150)}
  save_sbd(tmp_path / "sbd", others | {"person1": 15, "person2": 15})
  config.data.voc_classes = ("person",)
  source = image_datasets.voc(config, "train")
  assert [still.name for still in source.stills] == ["person1", "person2"]
  config.data.voc_classes = ("cow",)
  with pytest.raises(ValueError, match="no image in the train list of .* 'cow'"):
    image_datasets.voc(config, "train")
  smoke = get_config("ris:smoke")
  stage = smoke.stages.two
  stage.sources.voc = 1.0
  batch = next(instances.make_batches(smoke, stage, {"voc": source}, smoke.seed)(0))
  assert {name.split("/")[0] for name in batch["names"]} == {"person1", "person2"}


@pytest.fixture
def folder(tmp_path):
  """Eleven plants."""
  folder = tmp_path / "leaves"
  folder.mkdir()
  for i in range(1, 12):
    leaf = Image.fromarray(np.full((4, 4), i % 3, np.uint8))
    leaf.convert("RGB").save(folder / f"plant{i:03d}_rgb.png")
    leaf.save(folder / f"plant{i:03d}_label.png")
  return folder


def test_plants_that_are_scored_are_not_trained_on(config, folder):
  train, val = (image_datasets.leaves(config, subset) for subset in ("train", "val"))
  names = [{source[i].name for i in range(len(source))} for source in (train, val)]
  assert (len(train), len(val)) == (8, 3)
  assert not names[0] & names[1]
  assert feeds.origin(val) == f"from {folder}"


def test_stages_with_the_same_plants_share_them(get_config, folder):
  config = get_config("ris:smoke")
  config.data.leaves = str(folder)
  for stage in config.stages.values():
    stage.sources.update(synthvos=0.0, leaves=1.0)
  first, second = run.make_stages(config, run.build(config))[1].values()
  assert len(first["leaves"]) == 8
  assert first["leaves"] is second["leaves"]
