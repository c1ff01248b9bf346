"""MSRA10K: 10 000 images with one salient object each."""

from pathlib import Path

import tensorflow_datasets as tfds

from vosjax.data.formats.stills import StillsFolder
from vosjax.data.records.stills import StillBuilder, label_map


class Builder(StillBuilder):
  """Salient object segmentation: pixel-accurate masks of 10 000 images."""

  VERSION = tfds.core.Version("1.0.0")
  MANUAL_DOWNLOAD_INSTRUCTIONS = """
  Get MSRA10K_Imgs_GT.zip from https://mmcheng.net/msra10k/, unpack it, and give the
  folder MSRA10K_Imgs_GT (with Imgs in it) as --manual_dir.
  """
  HOMEPAGE = "https://mmcheng.net/msra10k/"
  LICENSE = "none stated; the images belong to their owners"
  ANNOTATIONS = {"mask": label_map()}
  NUM_STILLS = {"train": 10_000}

  def open_sources(self, root: Path) -> dict[str, StillsFolder]:
    """Images and masks, which are in the same folder."""
    folder = str(root / "Imgs")
    return {"train": StillsFolder(folder, folder)}
