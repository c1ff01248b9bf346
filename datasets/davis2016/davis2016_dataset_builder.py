"""DAVIS 2016: one object in every video."""

import dataclasses
from pathlib import Path

import tensorflow_datasets as tfds

from vosjax.data.formats.davis import DavisFolder
from vosjax.data.formats.davis_info import read_videos
from vosjax.data.records.checks import missing_numbers, refuse_incomplete, wrong_counts
from vosjax.data.records.video_builder import VideoBuilder, VideoFiles


class Builder(VideoBuilder):
  """Single-object video segmentation: 30 training and 20 validation videos."""

  VERSION = tfds.core.Version("1.0.0")
  HOMEPAGE = "https://davischallenge.org/davis2016/code.html"
  LICENSE = "BSD, as the authors state; the videos come from various sources"
  MANUAL_DOWNLOAD_INSTRUCTIONS = """
  Get DAVIS-data.zip from https://davischallenge.org/davis2016/code.html, unpack it,
  and give the folder DAVIS (with JPEGImages, Annotations and ImageSets in it) as
  --manual_dir. (The 2017 archive works as well, but its masks were revised.)
  """
  BUILDER_CONFIGS = [
    tfds.core.BuilderConfig(
      name="480p", description="the resolution that is evaluated"
    ),
    tfds.core.BuilderConfig(name="1080p", description="the original resolution"),
  ]
  NUM_VIDEOS = {"train": 30, "validation": 20}

  def open_splits(self, root: Path) -> dict[str, list[VideoFiles]]:
    """Both splits of the unpacked original."""
    info = read_videos(root)
    splits = {
      split: [
        VideoFiles.from_folder(video)
        for video in DavisFolder(
          str(root), subset, year=2016, resolution=self.builder_config.name
        ).videos
      ]
      for split, subset in (("train", "train"), ("validation", "val"))
    }
    problems = wrong_counts(
      {split: len(videos) for split, videos in splits.items()},
      self.NUM_VIDEOS,
      "videos",
    )
    for videos in splits.values():
      for video in videos:
        problems += missing_numbers(video.name, video.frame_names)
        about = info.get(video.name)
        if about and about.num_frames != len(video.frames):
          problems.append(
            f"{video.name}: {len(video.frames)} of {about.num_frames} frames"
          )
    refuse_incomplete(root, problems)
    return {
      split: [
        dataclasses.replace(video, attributes=info[video.name].attributes)
        if video.name in info
        else video
        for video in videos
      ]
      for split, videos in splits.items()
    }
