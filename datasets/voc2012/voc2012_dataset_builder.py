"""PASCAL VOC 2012: instances of 20 classes."""

from pathlib import Path

import tensorflow_datasets as tfds

from vosjax.data.formats.voc import VocFolder
from vosjax.data.records.stills import StillBuilder, label_map


class Builder(StillBuilder):
  """Instance segmentation: 1 464 training and 1 449 validation images."""

  VERSION = tfds.core.Version("1.0.0")
  MANUAL_DOWNLOAD_INSTRUCTIONS = """
  Get VOCtrainval_11-May-2012.tar from
  http://host.robots.ox.ac.uk/pascal/VOC/voc2012/, unpack it, and give the folder
  VOC2012 (with JPEGImages, SegmentationClass, SegmentationObject and ImageSets in it)
  as --manual_dir.
  """
  HOMEPAGE = "http://host.robots.ox.ac.uk/pascal/VOC/voc2012/"
  LICENSE = "the images are under the terms of use of flickr"
  ANNOTATIONS = {"instances": label_map(), "classes": label_map()}
  NUM_STILLS = {"train": 1_464, "validation": 1_449}

  def open_sources(self, root: Path) -> dict[str, VocFolder]:
    """The lists train and val, which together are trainval."""
    return {
      split: VocFolder(str(root), subset)
      for split, subset in (("train", "train"), ("validation", "val"))
    }
