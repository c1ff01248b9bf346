"""The CVPPP builder keeps leaves and plants; test images have no leaves."""

import numpy as np
import pytest
from PIL import Image

from vosjax.data.formats.cvppp import LeavesFolder


@pytest.mark.filterwarnings("default")  # tfds and its dependencies
def test_records_hold_the_files_of_both_archives(build_stills, tmp_path):
  train, test = tmp_path / "data/training/A1", tmp_path / "data/testing/A1"
  leaves = np.zeros((9, 12), np.uint8)
  leaves[1:4], leaves[5:8] = 1, 2
  for folder, plants in ((train, ("plant001", "plant002")), (test, ("plant003",))):
    folder.mkdir(parents=True)
    for plant in plants:
      Image.new("RGB", (12, 9), (3, 120, 4)).save(folder / f"{plant}_rgb.png")
      Image.fromarray((leaves > 0).view(np.uint8)).save(folder / f"{plant}_fg.png")
      if folder == train:
        image = Image.fromarray(leaves)
        image.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
        image.save(folder / f"{plant}_label.png")
  splits = build_stills(
    "cvppp",
    tmp_path / "data",
    {"train": 2, "test": 1},
    {
      "train": LeavesFolder(str(train)),
      "test": LeavesFolder(str(test), annotated=False),
    },
  )
  assert splits["train"][0].classes == {1: 1, 2: 1}
  assert splits["test"][0].labels(0) is None
