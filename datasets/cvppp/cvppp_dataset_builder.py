"""CVPPP leaves: young plants seen from above, with every leaf as an instance."""

from pathlib import Path

import tensorflow_datasets as tfds

from vosjax.data.formats.cvppp import LeavesFolder
from vosjax.data.records.stills import StillBuilder, label_map


class Builder(StillBuilder):
  """Leaf segmentation: set A1, 128 training images and 33 for testing."""

  VERSION = tfds.core.Version("1.0.0")
  MANUAL_DOWNLOAD_INSTRUCTIONS = """
  Request the data of the Leaf Segmentation Challenge (CVPPP2017_LSC_training.zip and
  CVPPP2017_testing.zip) at https://www.plant-phenotyping.org/datasets-home, unpack both
  archives into one folder, and give that folder (with training/A1 and testing/A1 in it)
  as --manual_dir.
  """
  HOMEPAGE = "https://www.plant-phenotyping.org/datasets-home"
  LICENSE = "for research; the terms are on the home page"
  ANNOTATIONS = {"leaves": label_map(), "foreground": label_map()}
  NUM_STILLS = {"train": 128, "test": 33}

  def open_sources(self, root: Path) -> dict[str, LeavesFolder]:
    """The annotations of the test images are not public."""
    return {
      "train": LeavesFolder(str(root / "training/A1")),
      "test": LeavesFolder(str(root / "testing/A1"), annotated=False),
    }
