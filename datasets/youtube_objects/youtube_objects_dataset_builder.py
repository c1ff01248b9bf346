"""YouTube-Objects: masks of 126 shots, boxes of release 2.3, or all videos."""

from pathlib import Path

import tensorflow_datasets as tfds

from vosjax.data.formats.davis import picture_files, read_names, subfolders
from vosjax.data.records.builders import (
  VideoBuilder,
  VideoFiles,
  frame_number,
  refuse_incomplete,
  wrong_counts,
)

# Annotated shots of each category: 126.
NUM_SHOTS = {
  "aeroplane": 6,
  "bird": 6,
  "boat": 15,
  "car": 7,
  "cat": 16,
  "cow": 20,
  "dog": 27,
  "horse": 14,
  "motorbike": 10,
  "train": 5,
}
# How many videos each category has, at least and at most.
NUM_VIDEOS = (9, 24)
# Pictures with boxes: 6087.
NUM_PICTURES = {"train": 4306, "test": 1781}
_PICTURES = (".jpg", ".jpeg", ".png")


class Builder(VideoBuilder):
  """Ten categories of objects in videos from YouTube.

  `masks`: a record is a shot with a foreground mask in about every tenth frame.
  `boxes`: a record is a picture with the boxes in it; which video it comes from is
  not published with them.
  `videos`: a record is a shot of release 1; only its category is known.
  """

  VERSION = tfds.core.Version("1.0.0")
  HOMEPAGE = "https://calvin-vision.net/datasets/youtube-objects-dataset/"
  LICENSE = "No licence is stated; published for research"
  MANUAL_DOWNLOAD_INSTRUCTIONS = """
  masks: get the segmentations (youtube_masks) of Jain and Grauman from
  http://vision.cs.utexas.edu/projects/videoseg/, unpack them, and give the folder
  youtube_masks (with aeroplane, bird, ... in it) as --manual_dir. Where its shots have
  no folder images, put the videos of release 1 (with aeroplane/data/0001/shots/001/
  frame0001.jpg, ... in it) beside it, as youtube_objects.
  boxes: get release 2.3 as https://github.com/vkalogeiton/yto-dataset says, and give
  YTOdevkit/YTO (with Annotations, ImageSets and JPEGImages in it) as --manual_dir.
  videos: give the folder of the videos of release 1 itself.
  """
  BUILDER_CONFIGS = [
    tfds.core.BuilderConfig(name="masks", description="pixel masks of 126 shots"),
    tfds.core.BuilderConfig(name="boxes", description="boxes in 6087 pictures"),
    tfds.core.BuilderConfig(name="videos", description="all shots, not annotated"),
  ]
  NUM_SHOTS = NUM_SHOTS
  NUM_VIDEOS = NUM_VIDEOS
  NUM_PICTURES = NUM_PICTURES

  def open_splits(self, root: Path) -> dict[str, list[VideoFiles]]:
    """Pictures with boxes in both splits, shots with masks to test on, or all shots."""
    if self.builder_config.name == "boxes":
      return self._boxes(root)
    if self.builder_config.name == "videos":
      return {"train": self._videos(root)}
    return {"test": self._masks(root)}

  def _boxes(self, root: Path) -> dict[str, list[VideoFiles]]:
    problems: list[str] = []
    splits = {}
    for split in self.NUM_PICTURES:
      listed = root / f"ImageSets/Main/{split}YTO.txt"
      names = read_names(listed) if listed.is_file() else []
      splits[split] = [_picture(root, name, problems) for name in names]
    refuse_incomplete(
      root,
      wrong_counts(
        {split: len(videos) for split, videos in splits.items()},
        self.NUM_PICTURES,
        "pictures in ImageSets/Main",
      )
      + problems,
    )
    return splits

  def _masks(self, root: Path) -> list[VideoFiles]:
    problems: list[str] = []
    videos, counts = [], {}
    for category in self.NUM_SHOTS:
      shots = [
        _shots(root, category, name, problems)
        for name in subfolders(root / category / "data")
      ]
      counts[category] = sum(map(len, shots))
      videos += [shot for found in shots for shot in found]
    refuse_incomplete(
      root, wrong_counts(counts, self.NUM_SHOTS, "annotated shots") + problems
    )
    return videos

  def _videos(self, root: Path) -> list[VideoFiles]:
    problems: list[str] = []
    videos = []
    least, most = self.NUM_VIDEOS
    for category in self.NUM_SHOTS:
      folder = root / category / "data"
      names = subfolders(folder)
      if not least <= len(names) <= most:
        problems.append(f"{category}: {len(names)} videos, expected {least} to {most}")
      for name in names:
        shots = subfolders(folder / name / "shots")
        if not shots:
          problems.append(f"{category}/data/{name}: no shots")
        for shot in shots:
          frames = _by_number(folder / name / "shots" / shot)
          if not frames:
            problems.append(f"{category}/data/{name}/shots/{shot}: no frames")
          videos.append(
            VideoFiles(
              f"{category}/{name}/{shot}",
              tuple(frames.values()),
              (None,) * len(frames),
              objects={1: {"category": category}},
            )
          )
    refuse_incomplete(root, problems)
    return videos


def _picture(root: Path, name: str, problems: list[str]) -> VideoFiles:
  """A picture with boxes; appends a line for a file that is missing."""
  frame, boxes = root / f"JPEGImages/{name}.jpg", root / f"Annotations/{name}.xml"
  problems += [
    str(path.relative_to(root)) for path in (frame, boxes) if not path.is_file()
  ]
  return VideoFiles(name, (frame,), (None,), boxes=(boxes,))


def _shots(
  root: Path, category: str, name: str, problems: list[str]
) -> list[VideoFiles]:
  """The annotated shots of a video; appends a line for a frame that is missing."""
  folder = root / category / "data" / name / "shots"
  numbers = [
    shot
    for shot in subfolders(folder)
    if picture_files(folder / shot / "labels", _PICTURES)
  ]
  videos = []
  for shot in numbers:
    masks = _by_number(folder / shot / "labels")
    frames = _by_number(folder / shot / "images")
    if not frames:
      original = root.parent / "youtube_objects" / folder.relative_to(root)
      frames = _by_number(original / shot)
    problems += [
      f"{(folder / shot).relative_to(root)}: no frame {number}"
      for number in sorted(set(masks) - set(frames))
    ]
    videos.append(
      VideoFiles(
        f"{category}/{name}" if len(numbers) == 1 else f"{category}/{name}/{shot}",
        tuple(frames.values()),
        tuple(masks.get(number) for number in frames),
        coding="layers",
        objects={1: {"category": category}},
      )
    )
  return videos


def _by_number(folder: Path) -> dict[int, Path]:
  """The pictures of a folder by the number in their names, in its order."""
  files = picture_files(folder, _PICTURES)
  return dict(sorted((frame_number(stem), path) for stem, path in files.items()))
