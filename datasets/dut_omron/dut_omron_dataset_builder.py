"""DUT-OMRON: 5 168 images with salient objects."""

from pathlib import Path

import tensorflow_datasets as tfds

from vosjax.data.formats.stills import StillsFolder
from vosjax.data.records.stills import StillBuilder, label_map


class Builder(StillBuilder):
  """Salient object segmentation: pixel-accurate masks of 5 168 images."""

  VERSION = tfds.core.Version("1.0.0")
  MANUAL_DOWNLOAD_INSTRUCTIONS = """
  Get DUT-OMRON-image.zip and DUT-OMRON-gt-pixelwise.zip from
  http://saliencydetection.net/dut-omron/, unpack both into one folder, and give that
  folder (with DUT-OMRON-image and pixelwiseGT-new-PNG in it) as --manual_dir.
  """
  HOMEPAGE = "http://saliencydetection.net/dut-omron/"
  LICENSE = "none stated; the images belong to their owners"
  ANNOTATIONS = {"mask": label_map()}
  NUM_STILLS = {"train": 5_168}

  def open_sources(self, root: Path) -> dict[str, StillsFolder]:
    """Images and masks, paired by name."""
    return {
      "train": StillsFolder(
        str(root / "DUT-OMRON-image"), str(root / "pixelwiseGT-new-PNG")
      )
    }
