"""Cityscapes: street scenes of 50 cities, finely annotated."""

from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds

from vosjax.data.formats.cityscapes import CityscapesFolder
from vosjax.data.records.stills import StillBuilder, label_map


class Builder(StillBuilder):
  """Instance segmentation: 2 975 training, 500 validation and 1 525 test images."""

  VERSION = tfds.core.Version("1.0.0")
  MANUAL_DOWNLOAD_INSTRUCTIONS = """
  Get leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip from
  https://www.cityscapes-dataset.com (with an account), unpack both into one folder, and
  give that folder (with leftImg8bit and gtFine in it) as --manual_dir.
  """
  HOMEPAGE = "https://www.cityscapes-dataset.com"
  LICENSE = "non-commercial; see https://www.cityscapes-dataset.com/license/"
  ANNOTATIONS = {
    "instances": label_map(np.uint16),
    "classes": label_map(),
    "polygons": tfds.features.Text(),
  }
  NUM_STILLS = {"train": 2_975, "validation": 500, "test": 1_525}

  def open_sources(self, root: Path) -> dict[str, CityscapesFolder]:
    """All three splits; the annotations of the test split show ignored areas only."""
    return {
      split: CityscapesFolder(str(root), subset)
      for split, subset in (("train", "train"), ("validation", "val"), ("test", "test"))
    }
