"""Leaves: every id of a label file is a leaf; test images have no label files."""

import numpy as np
import pytest
from PIL import Image

from vosjax.data.formats.cvppp import LeavesFolder


@pytest.fixture
def a1(tmp_path):
  labels = np.zeros((10, 8), np.uint8)
  labels[2:5], labels[5:9, :4] = 4, 9
  for name in ("plant001", "plant010"):
    Image.new("RGB", (8, 10)).save(tmp_path / f"{name}_rgb.png")
    image = Image.fromarray(labels)
    image.putpalette(np.random.default_rng(0).integers(0, 256, 768).tolist())
    image.save(tmp_path / f"{name}_label.png")
    Image.fromarray((labels > 0).view(np.uint8)).save(tmp_path / f"{name}_fg.png")
  return tmp_path


def test_every_leaf_is_an_instance(a1):
  source = LeavesFolder(str(a1))
  assert [still.name for still in source] == ["plant001", "plant010"]
  assert set(source[0].annotations) == {"leaves", "foreground"}
  assert source[0].classes == {4: 1, 9: 1}
  assert set(np.unique(source[0].labels(0))) == {0, 4, 9}


def test_images_without_leaves_are_for_testing_only(a1):
  (a1 / "plant010_label.png").unlink()
  with pytest.raises(ValueError, match="1 files are missing: plant010_label.png"):
    LeavesFolder(str(a1))
  still = LeavesFolder(str(a1), annotated=False)[1]
  assert still.labels(0) is None and still.classes == {}
  assert still.frame(0).shape == (10, 8, 3)


def test_a_folder_without_plants_is_refused(tmp_path):
  with pytest.raises(ValueError, match="root: no images in"):
    LeavesFolder(str(tmp_path))
