"""SegTrack v2: 14 videos with a mask of every object in every frame."""

from pathlib import Path

import tensorflow_datasets as tfds

from vosjax.data.formats.folders import image_files, subfolders
from vosjax.data.records.checks import refuse_incomplete
from vosjax.data.records.video_builder import VideoBuilder, VideoFiles

_IMAGES = (".png", ".bmp", ".jpg", ".jpeg")

# Number of objects in each video, 24 in total.
NUM_OBJECTS = {
  "bird_of_paradise": 1,
  "birdfall": 1,
  "bmx": 2,
  "cheetah": 2,
  "drift": 2,
  "frog": 1,
  "girl": 1,
  "hummingbird": 2,
  "monkey": 1,
  "monkeydog": 2,
  "parachute": 1,
  "penguin": 6,
  "soldier": 1,
  "worm": 1,
}


class Builder(VideoBuilder):
  """Video segmentation with the masks of 24 objects in 14 videos."""

  VERSION = tfds.core.Version("1.0.0")
  HOMEPAGE = "https://web.engr.oregonstate.edu/~lif/SegTrack2/dataset.html"
  LICENSE = "No licence is stated; published for research"
  MANUAL_DOWNLOAD_INSTRUCTIONS = """
  Get SegTrackv2.zip from
  https://web.engr.oregonstate.edu/~lif/SegTrack2/dataset.html, unpack it, and give the
  folder SegTrackv2 (with JPEGImages, GroundTruth and ImageSets in it) as --manual_dir.
  """
  NUM_OBJECTS = NUM_OBJECTS

  def open_splits(self, root: Path) -> dict[str, list[VideoFiles]]:
    """All videos, as a test split: the dataset has no splits."""
    problems: list[str] = []
    videos = [
      _video(root, name, count, problems)
      for name, count in sorted(self.NUM_OBJECTS.items())
    ]
    refuse_incomplete(root, problems)
    return {"test": videos}


def _video(root: Path, name: str, num_objects: int, problems: list[str]) -> VideoFiles:
  """A video; what is missing is appended to `problems`."""
  frames = image_files(root / "JPEGImages" / name, _IMAGES)
  truth = root / "GroundTruth" / name
  # Videos with a single object have no folder for it.
  folders = [truth / number for number in sorted(subfolders(truth), key=_number)]
  masks = [image_files(folder, _IMAGES) for folder in folders or [truth]]
  listed = _listed_frames(root / "ImageSets" / f"{name}.txt")
  frames = {stem: path for stem, path in frames.items() if stem in (listed or frames)}
  if not frames:
    problems.append(f"no frames in JPEGImages/{name}")
  if len(masks) != num_objects:
    problems.append(f"GroundTruth/{name}: {len(masks)} of {num_objects} objects")
  problems += [f"JPEGImages/{name}/{stem}" for stem in listed if stem not in frames]
  problems += [
    f"{folder.relative_to(root)}/{stem}"
    for folder, files in zip(folders or [truth], masks)
    for stem in frames
    if stem not in files
  ]
  layers = tuple(files[stem] for stem in frames for files in masks if stem in files)
  single = len(masks) == 1
  return VideoFiles(
    name,
    tuple(frames.values()),
    layers if single and len(layers) == len(frames) else (None,) * len(frames),
    layers=() if single else layers,
    coding="layers",
    objects={i: {} for i in range(1, num_objects + 1)},
  )


def _listed_frames(path: Path) -> list[str]:
  """Names of a video's frames; the first line of the list is its folder."""
  return path.read_text().split()[1:] if path.is_file() else []


def _number(name: str) -> tuple[int, str]:
  return (int(name) if name.isdigit() else 0, name)
