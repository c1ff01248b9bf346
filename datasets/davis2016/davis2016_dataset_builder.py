"""DAVIS 2016: one object in every video."""

from pathlib import Path

import tensorflow_datasets as tfds

from vosjax.data.folders import DavisFolder
from vosjax.data.prepared import VideoBuilder


class Builder(VideoBuilder):
  """Single-object video segmentation: 30 training and 20 validation videos."""

  VERSION = tfds.core.Version("1.0.0")
  MANUAL_DOWNLOAD_INSTRUCTIONS = """
  Get DAVIS-data.zip from https://davischallenge.org/davis2016/code.html (the 2017
  archive has the same videos and works too), unpack it, and give the folder DAVIS
  (with JPEGImages, Annotations and ImageSets in it) as --manual_dir.
  """
  BUILDER_CONFIGS = [tfds.core.BuilderConfig(
      name="480p", description="the benchmark's resolution")]
  NUM_VIDEOS = {"train": 30, "validation": 20}

  def open_splits(self, root: Path) -> dict[str, DavisFolder]:
    """Both splits below the unpacked folder."""
    return {
        split: DavisFolder(str(root), subset, year=2016,
                           resolution=self.builder_config.name)
        for split, subset in (("train", "train"), ("validation", "val"))}
