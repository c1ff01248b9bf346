"""SBD: instances and their classes in the images of PASCAL VOC 2011."""

from pathlib import Path

import tensorflow_datasets as tfds

from vosjax.data.formats.voc import SbdFolder
from vosjax.data.records.stills import StillBuilder


class Builder(StillBuilder):
  """Instance segmentation: 8 498 training and 2 857 validation images."""

  VERSION = tfds.core.Version("1.0.0")
  MANUAL_DOWNLOAD_INSTRUCTIONS = """
  Get benchmark.tgz of the Semantic Boundaries Dataset from
  http://home.bharathh.info/pubs/codes/SBD/download.html, unpack it, and give the folder
  benchmark_RELEASE/dataset (with img, inst and cls in it) as --manual_dir.
  """
  HOMEPAGE = "http://home.bharathh.info/pubs/codes/SBD/download.html"
  LICENSE = "the images are under the terms of use of flickr"
  ANNOTATIONS = {  # MATLAB files
    "instances": tfds.features.Text(),
    "classes": tfds.features.Text(),
  }
  NUM_STILLS = {"train": 8_498, "validation": 2_857}

  def open_sources(self, root: Path) -> dict[str, SbdFolder]:
    """The lists of SBD, which are not those of VOC."""
    return {
      split: SbdFolder(str(root), subset)
      for split, subset in (("train", "train"), ("validation", "val"))
    }
