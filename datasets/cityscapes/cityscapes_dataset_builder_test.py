"""The Cityscapes builder keeps 16-bit instance maps, label maps and polygons."""

import json

import numpy as np
import pytest
from PIL import Image

from vosjax.data.formats.cityscapes import CityscapesFolder

SPLITS = {"train": ("aachen", "bochum"), "val": ("lindau",), "test": ("berlin",)}


@pytest.mark.filterwarnings("default")  # tfds and its dependencies
def test_records_hold_the_files_of_all_cities(build_stills, tmp_path):
  root = tmp_path / "cityscapes"
  for subset, cities in SPLITS.items():
    ids = np.full((8, 16), 7, np.uint16)
    ids[:3, :5], ids[4:, :5], ids[:, 12:] = 26000, 24001, 1
    if subset == "test":
      ids = np.where(ids == 1, 1, 0).astype(np.uint16)
    for city in cities:
      frames, truth = (
        root / folder / subset / city for folder in ("leftImg8bit", "gtFine")
      )
      frames.mkdir(parents=True)
      truth.mkdir(parents=True)
      name = f"{city}_000000_000019"
      Image.new("RGB", (16, 8)).save(frames / f"{name}_leftImg8bit.png")
      Image.fromarray(ids).save(truth / f"{name}_gtFine_instanceIds.png")
      kinds = np.where(ids >= 1000, ids // 1000, ids).astype(np.uint8)
      Image.fromarray(kinds).save(truth / f"{name}_gtFine_labelIds.png")
      Image.new("RGBA", (16, 8)).save(truth / f"{name}_gtFine_color.png")
      (truth / f"{name}_gtFine_polygons.json").write_text(
        json.dumps({"imgHeight": 8, "imgWidth": 16, "objects": []})
      )
  splits = build_stills(
    "cityscapes",
    root,
    {"train": 2, "validation": 1, "test": 1},
    {
      "train": CityscapesFolder(str(root), "train"),
      "validation": CityscapesFolder(str(root), "val"),
      "test": CityscapesFolder(str(root), "test"),
    },
  )
  assert splits["train"][0].classes == {1: 1, 2: 3}
  assert set(np.unique(splits["train"][0].labels(0))) == {0, 1, 2, 255}
  assert (splits["test"][0].labels(0) == 255).all()
