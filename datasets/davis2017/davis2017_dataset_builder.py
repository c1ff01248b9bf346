"""DAVIS 2017, semi-supervised and unsupervised annotations."""

import dataclasses
from pathlib import Path

import tensorflow_datasets as tfds

from vosjax.data.folders import DavisFolder
from vosjax.data.prepared import VideoBuilder


@dataclasses.dataclass(eq=False, kw_only=True)
class Davis2017Config(tfds.core.BuilderConfig):
  """Which pictures: `resolution` of the frames, folder of the `annotations`."""

  resolution: str
  annotations: str


class Builder(VideoBuilder):
  """Multi-object video segmentation: 60 training and 30 validation videos."""

  VERSION = tfds.core.Version("1.0.0")
  MANUAL_DOWNLOAD_INSTRUCTIONS = """
  Get DAVIS-2017-trainval-480p.zip (or -Full-Resolution, or -Unsupervised-trainval)
  from https://davischallenge.org/davis2017/code.html, unpack it, and give the
  folder DAVIS (with JPEGImages, Annotations and ImageSets in it) as --manual_dir.
  """
  BUILDER_CONFIGS = [
      Davis2017Config(
          name=f"{task}_{name}", description=f"{task} annotations, {resolution}",
          resolution=resolution, annotations=annotations)
      for task, annotations in (
          ("semi_supervised", "Annotations"),
          ("unsupervised", "Annotations_unsupervised"))
      for name, resolution in (("480p", "480p"), ("full", "Full-Resolution"))
  ]
  NUM_VIDEOS = {"train": 60, "validation": 30}

  def open_splits(self, root: Path) -> dict[str, DavisFolder]:
    """Both splits below the unpacked folder."""
    config = self.builder_config
    return {
        split: DavisFolder(
            str(root), subset, year=2017, resolution=config.resolution,
            annotations=config.annotations)
        for split, subset in (("train", "train"), ("validation", "val"))}
