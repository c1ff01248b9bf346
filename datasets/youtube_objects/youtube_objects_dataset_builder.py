"""YouTube-Objects: masks of 126 shots, boxes of release 2.3, or all videos."""

from pathlib import Path

import tensorflow_datasets as tfds

from vosjax.data.formats.folders import image_files, read_names, subfolders
from vosjax.data.records.checks import frame_number, refuse_incomplete, wrong_counts
from vosjax.data.records.video_builder import VideoBuilder, VideoFiles

# Number of annotated shots in each category, 126 in total.
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
# Smallest and largest number of videos in a category.
NUM_VIDEOS = (9, 24)
# Number of images with boxes, 6087 in total.
NUM_IMAGES = {"train": 4306, "test": 1781}
_IMAGES = (".jpg", ".jpeg", ".png")


class Builder(VideoBuilder):
  """Ten categories of objects in videos from YouTube.

  `masks`: a record is a shot with a foreground mask in about every tenth frame.
  `boxes`: a record is an image with its boxes; the video that it comes from is not
  published.
  `videos`: a record is a shot of release 1, of which only the category is known.
  """

  VERSION = tfds.core.Version("1.0.0")
  HOMEPAGE = "https://calvin-vision.net/datasets/youtube-objects-dataset/"
  LICENSE = "No licence is stated; published for research"
  MANUAL_DOWNLOAD_INSTRUCTIONS = """
  masks: get the segmentations (youtube_masks) of Jain and Grauman from
  http://vision.cs.utexas.edu/projects/videoseg/, unpack them, and give the folder
  youtube_masks (with aeroplane, bird, ... in it) as --manual_dir. If its shots have no
  folder images, put the videos of release 1 (with aeroplane/data/0001/shots/001/
  frame0001.jpg, ... in it) next to it, as youtube_objects.
  boxes: get release 2.3 as described at https://github.com/vkalogeiton/yto-dataset, and
  give YTOdevkit/YTO (with Annotations, ImageSets and JPEGImages in it) as --manual_dir.
  videos: give the folder of the videos of release 1 itself.
  """
  BUILDER_CONFIGS = [
    tfds.core.BuilderConfig(name="masks", description="pixel masks of 126 shots"),
    tfds.core.BuilderConfig(name="boxes", description="boxes in 6087 images"),
    tfds.core.BuilderConfig(name="videos", description="all shots, not annotated"),
  ]
  NUM_SHOTS = NUM_SHOTS
  NUM_VIDEOS = NUM_VIDEOS
  NUM_IMAGES = NUM_IMAGES

  def open_splits(self, root: Path) -> dict[str, list[VideoFiles]]:
    """Images with boxes in both splits, shots with masks for testing, or all shots."""
    if self.builder_config.name == "boxes":
      return self._boxes(root)
    if self.builder_config.name == "videos":
      return {"train": self._videos(root)}
    return {"test": self._masks(root)}

  def _boxes(self, root: Path) -> dict[str, list[VideoFiles]]:
    problems: list[str] = []
    splits = {}
    for split in self.NUM_IMAGES:
      list_file = root / f"ImageSets/Main/{split}YTO.txt"
      names = read_names(list_file) if list_file.is_file() else []
      splits[split] = [_image(root, name, problems) for name in names]
    refuse_incomplete(
      root,
      wrong_counts(
        {split: len(videos) for split, videos in splits.items()},
        self.NUM_IMAGES,
        "images in ImageSets/Main",
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


def _image(root: Path, name: str, problems: list[str]) -> VideoFiles:
  """An image with boxes; missing files are appended to `problems`."""
  frame, boxes = root / f"JPEGImages/{name}.jpg", root / f"Annotations/{name}.xml"
  problems += [
    str(path.relative_to(root)) for path in (frame, boxes) if not path.is_file()
  ]
  return VideoFiles(name, (frame,), (None,), boxes=(boxes,))


def _shots(
  root: Path, category: str, name: str, problems: list[str]
) -> list[VideoFiles]:
  """The annotated shots of a video; missing frames are appended to `problems`."""
  folder = root / category / "data" / name / "shots"
  numbers = [
    shot
    for shot in subfolders(folder)
    if image_files(folder / shot / "labels", _IMAGES)
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
  """The images of a folder, keyed and sorted by the number in their names."""
  files = image_files(folder, _IMAGES)
  return dict(sorted((frame_number(stem), path) for stem, path in files.items()))
