"""The PASCAL VOC 2012 builder keeps both palette maps and tells instances apart."""

import numpy as np
import pytest
from PIL import Image

from vosjax.data.formats.voc import VocFolder


def save_map(path, values):
  path.parent.mkdir(parents=True, exist_ok=True)
  image = Image.fromarray(values)
  image.putpalette(np.random.default_rng(1).integers(0, 256, 768).tolist())
  image.save(path)


@pytest.mark.filterwarnings("default")  # tfds and its dependencies
def test_records_hold_images_instances_and_classes(build_stills, tmp_path):
  root = tmp_path / "VOCdevkit/VOC2012"
  lists = root / "ImageSets/Segmentation"
  for folder in (lists, root / "JPEGImages"):
    folder.mkdir(parents=True)
  for subset, names in {
    "train": ("2007_000032", "2007_000039"),
    "val": ("2007_000033",),
  }.items():
    (lists / f"{subset}.txt").write_text("".join(f"{name}\n" for name in names))
    for name in names:
      Image.new("RGB", (12, 9)).save(root / f"JPEGImages/{name}.jpg")
      objects, classes = np.zeros((9, 12), np.uint8), np.zeros((9, 12), np.uint8)
      objects[:3], classes[:3] = 1, 15
      objects[3], classes[3] = 255, 255
      objects[4:, : int(name[-1])], classes[4:, : int(name[-1])] = 2, 7
      save_map(root / f"SegmentationObject/{name}.png", objects)
      save_map(root / f"SegmentationClass/{name}.png", classes)
  Image.new("RGB", (12, 9)).save(root / "JPEGImages/2012_004331.jpg")  # no segmentation
  splits = build_stills(
    "voc2012",
    root,
    {"train": 2, "validation": 1},
    {"train": VocFolder(str(root), "train"), "validation": VocFolder(str(root), "val")},
  )
  assert splits["train"][0].classes == {1: 15, 2: 7}
  assert set(np.unique(splits["validation"][0].labels(0))) == {0, 1, 2, 255}
