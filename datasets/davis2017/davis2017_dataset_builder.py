"""DAVIS 2017 with its semi-supervised and unsupervised annotations."""

import dataclasses
from pathlib import Path

import tensorflow_datasets as tfds

from vosjax.data.formats.davis import DavisFolder
from vosjax.data.formats.davis_info import read_objects
from vosjax.data.formats.folders import image_files, read_names
from vosjax.data.records.checks import missing_numbers, refuse_incomplete, wrong_counts
from vosjax.data.records.video_builder import VideoBuilder, VideoFiles

RESOLUTIONS = {"480p": "480p", "full": "Full-Resolution"}
ANNOTATIONS = {
  "semi_supervised": "Annotations",
  "unsupervised": "Annotations_unsupervised",
}


@dataclasses.dataclass(eq=False, kw_only=True)
class Davis2017Config(tfds.core.BuilderConfig):
  """A part of the dataset.

  Attributes:
    resolution: folder of the frames.
    task: semi_supervised or unsupervised.
    test: test-dev or test-challenge; otherwise training and validation.
  """

  resolution: str
  task: str
  test: str = ""


def _configs() -> list[Davis2017Config]:
  return [
    Davis2017Config(
      name=f"{task}_{test.replace('-', '_')}{'_' if test else ''}{size}",
      description=f"{task} {test or 'training and validation'}, {resolution}",
      resolution=resolution,
      task=task,
      test=test,
    )
    for test in ("", "test-dev", "test-challenge")
    for task in ANNOTATIONS
    for size, resolution in RESOLUTIONS.items()
  ]


class Builder(VideoBuilder):
  """Multi-object video segmentation: 60 training and 30 validation videos."""

  VERSION = tfds.core.Version("1.0.0")
  HOMEPAGE = "https://davischallenge.org/davis2017/code.html"
  LICENSE = "BSD, as the authors state; the videos come from various sources"
  MANUAL_DOWNLOAD_INSTRUCTIONS = """
  Get DAVIS-2017-trainval-480p.zip (or another archive listed in README.md next to this
  builder) from https://davischallenge.org/davis2017/code.html, unpack it, and
  give the folder DAVIS (with JPEGImages, Annotations and ImageSets in it) as
  --manual_dir. For the categories of the objects, unpack
  DAVIS-2017_semantics-480p.zip from the same page over it.
  """
  BUILDER_CONFIGS = _configs()
  NUM_VIDEOS = {"train": 60, "validation": 30, "test_dev": 30, "test_challenge": 30}

  def open_splits(self, root: Path) -> dict[str, list[VideoFiles]]:
    """Training and validation, or the test set, of the unpacked original."""
    config = self.builder_config
    if not config.test:
      splits = {
        split: [
          VideoFiles.from_folder(video)
          for video in DavisFolder(
            str(root),
            subset,
            resolution=config.resolution,
            annotations=ANNOTATIONS[config.task],
          ).videos
        ]
        for split, subset in (("train", "train"), ("validation", "val"))
      }
    elif config.task == "semi_supervised":
      splits = {
        config.test.replace("-", "_"): [
          VideoFiles.from_folder(video)
          for video in DavisFolder(
            str(root), config.test, resolution=config.resolution, sparse=True
          ).videos
        ]
      }
    else:
      splits = {config.test.replace("-", "_"): self._without_annotations(root)}
    problems = wrong_counts(
      {split: len(videos) for split, videos in splits.items()},
      {split: self.NUM_VIDEOS[split] for split in splits},
      "videos",
    )
    for videos in splits.values():
      for video in videos:
        problems += missing_numbers(video.name, video.frame_names)
        if config.task == "semi_supervised" and video.masks[0] is None:
          problems.append(f"{video.name}: its first frame has no annotation")
    refuse_incomplete(root, problems)
    objects = read_objects(root)
    return {
      split: [
        dataclasses.replace(video, objects=objects.get(video.name, {}))
        if any(video.masks)
        else video
        for video in videos
      ]
      for split, videos in splits.items()
    }

  def _without_annotations(self, root: Path) -> list[VideoFiles]:
    """The unsupervised test sets, which consist of frames only."""
    config = self.builder_config
    list_file = root / f"ImageSets/2019/{config.test}.txt"
    if not list_file.is_file():
      refuse_incomplete(root, [f"no list {list_file.relative_to(root)}"])
    videos = []
    for name in read_names(list_file):
      frames = image_files(root / "JPEGImages" / config.resolution / name)
      videos.append(VideoFiles(name, tuple(frames.values()), (None,) * len(frames)))
    refuse_incomplete(
      root, [f"no frames of {video.name}" for video in videos if not video.frames]
    )
    return videos
