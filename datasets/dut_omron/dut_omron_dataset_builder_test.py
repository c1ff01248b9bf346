"""The DUT-OMRON builder keeps the bytes of images and masks."""

import numpy as np
import pytest
from PIL import Image

from vosjax.data.formats.stills import StillsFolder


@pytest.mark.filterwarnings("default")  # tfds and its dependencies
def test_records_hold_the_files_of_both_folders(build_stills, tmp_path):
  root, rng = tmp_path / "DUT", np.random.default_rng(0)
  folders = [root / "DUT-OMRON-image", root / "pixelwiseGT-new-PNG"]
  for folder in folders:
    folder.mkdir(parents=True)
  for name in ("im005", "sun_aaa"):
    image = rng.integers(0, 256, (9, 12, 3), np.uint8)
    Image.fromarray(image).save(folders[0] / f"{name}.jpg")
    mask = np.where(image[..., 0] > 99, 255, 0).astype(np.uint8)
    Image.fromarray(mask).save(folders[1] / f"{name}.png")
  build_stills(
    "dut_omron", root, {"train": 2}, {"train": StillsFolder(*map(str, folders))}
  )
