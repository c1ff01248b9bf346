"""Cityscapes: instances of eight classes, crowds and ignored classes void."""

import io

import numpy as np
import pytest
from PIL import Image

from vosjax.data.formats.cityscapes import CLASSES, CityscapesFolder, read_instances


def instance_file(ids) -> dict[str, bytes]:
  """A 16-bit PNG as in the dataset."""
  file = io.BytesIO()
  Image.fromarray(np.asarray(ids, np.uint16)).save(file, "PNG")
  return {"instances": file.getvalue()}


def test_ids_say_class_and_instance():
  read = read_instances(
    instance_file([[7, 26002, 26000, 33000], [24001, 24001, 7, 11]]), "x"
  )
  np.testing.assert_array_equal(read.labels, [[0, 3, 2, 4], [1, 1, 0, 0]])
  assert {i: CLASSES[k] for i, k in read.classes.items()} == {
    1: "person",
    2: "car",
    3: "car",
    4: "bicycle",
  }


def test_all_eight_classes_are_known():
  ids = [24000, 25000, 26000, 27000, 28000, 31000, 32000, 33000]
  read = read_instances(instance_file([ids]), "x")
  assert [CLASSES[k] for k in read.classes.values()] == list(CLASSES[1:])


def test_crowds_and_what_evaluation_ignores_are_void():
  crowd, caravan, trailer = 26, 29003, 30000
  read = read_instances(instance_file([[crowd, caravan, trailer, 0, 1, 3, 9, 23]]), "x")
  np.testing.assert_array_equal(read.labels, [[255] * 7 + [0]])
  assert read.classes == {}


def test_more_instances_than_ids_are_refused():
  with pytest.raises(ValueError, match="x: 255 instances"):
    read_instances(instance_file([24000 + np.arange(255)]), "x")
  read = read_instances(instance_file([24000 + np.arange(254)]), "x")
  assert read.labels.max() == 254


def test_missing_folders_and_files_are_named(tmp_path):
  with pytest.raises(ValueError, match="no folder .*leftImg8bit/train.*gtFine_train"):
    CityscapesFolder(str(tmp_path))
  city = tmp_path / "leftImg8bit/train/aachen"
  city.mkdir(parents=True)
  Image.new("RGB", (8, 4)).save(city / "aachen_000000_000019_leftImg8bit.png")
  with pytest.raises(ValueError, match="gtFine/train/aachen/aachen_000000_000019_gt"):
    CityscapesFolder(str(tmp_path))
