"""YouTube-VOS 2018 and 2019, annotated at 6 frames per second."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from vosjax.data.formats.folders import image_files, subfolders
from vosjax.data.records.checks import refuse_incomplete, wrong_counts
from vosjax.data.records.video_builder import VideoBuilder, VideoFiles

SPLITS = {"train": "train", "validation": "valid", "test": "test"}


@dataclasses.dataclass(eq=False, kw_only=True)
class YoutubeVosConfig(tfds.core.BuilderConfig):
  """A release, with all frames or the annotated ones.

  Attributes:
    num_videos: of each split.
    all_frames: every frame of the videos, of which every fifth is annotated;
      otherwise only those at 6 frames per second.
  """

  num_videos: Mapping[str, int]
  all_frames: bool


class Builder(VideoBuilder):
  """Multi-object video segmentation of 94 categories, 26 of them only in validation.

  The splits are separate archives; those whose folder exists are built.
  """

  VERSION = tfds.core.Version("1.0.0")
  HOMEPAGE = "https://youtube-vos.org/dataset/vos/"
  LICENSE = "Annotations: Creative Commons Attribution 4.0; videos: research only"
  MANUAL_DOWNLOAD_INSTRUCTIONS = """
  Register at https://youtube-vos.org/dataset/vos/, get train.zip, valid.zip and
  test.zip of the release (and the *_all_frames archives for the configurations of
  that name), unpack them into one folder, and give that folder (with train, valid and
  test in it) as --manual_dir.
  """
  BUILDER_CONFIGS = [
    YoutubeVosConfig(
      name=f"{year}{'_all_frames' if all_frames else ''}",
      num_videos=num_videos,
      description=f"release {year}, {'all frames' if all_frames else '6 fps'}",
      all_frames=all_frames,
    )
    for year, num_videos in (
      ("2018", {"train": 3471, "validation": 474, "test": 508}),
      ("2019", {"train": 3471, "validation": 507, "test": 541}),
    )
    for all_frames in (False, True)
  ]

  def open_splits(self, root: Path) -> dict[str, list[VideoFiles]]:
    """The splits whose folders exist."""
    folders = {
      split: root / folder
      for split, folder in SPLITS.items()
      if (root / folder).is_dir()
    }
    if not folders:
      refuse_incomplete(root, [f"no folder {name}" for name in SPLITS.values()])
    seen = _seen_categories(root / "train" / "meta.json")
    problems: list[str] = []
    splits = {
      split: self._videos(split, folder, seen, problems)
      for split, folder in folders.items()
    }
    refuse_incomplete(
      root,
      problems
      + wrong_counts(
        {split: len(videos) for split, videos in splits.items()},
        {split: self.builder_config.num_videos[split] for split in splits},
        "videos",
      ),
    )
    return splits

  def _videos(
    self, split: str, folder: Path, seen: frozenset[str] | None, problems: list[str]
  ) -> list[VideoFiles]:
    """The videos of a split; what is missing is appended to `problems`."""
    meta = (
      _read_meta(folder / "meta.json")
      if split != "test" or (folder / "meta.json").is_file()
      else {}
    )
    frames_root = folder / "JPEGImages"
    if self.builder_config.all_frames:
      frames_root = folder.with_name(f"{folder.name}_all_frames") / "JPEGImages"
    videos = []
    for name in sorted({*meta, *subfolders(folder / "Annotations")}):
      frames = image_files(frames_root / name)
      masks = image_files(folder / "Annotations" / name, (".png",))
      objects = {
        int(i): _object(about, seen)
        for i, about in meta.get(name, {}).get("objects", {}).items()
      }
      if not objects and split != "test":
        problems.append(f"{folder.name}/meta.json: no objects of {name}")
      problems += _missing(
        name, frames, masks, objects, frames_root.relative_to(folder.parent)
      )
      if split == "train":
        problems += [
          f"{folder.name}/Annotations/{name}/{frame}.png"
          for frame in sorted(_frames_of(objects) - set(masks))
        ]
      videos.append(
        VideoFiles(
          name,
          tuple(frames.values()),
          tuple(masks.get(stem) for stem in frames),
          objects=objects,
        )
      )
    return videos


def _missing(
  name: str,
  frames: Mapping[str, Path],
  masks: Mapping[str, Path],
  objects: Mapping[int, Mapping[str, Any]],
  where: Path,
) -> list[str]:
  """Frames that are missing although annotations or meta.json name them."""
  if not frames:
    return [f"no frames in {where / name}"]
  lines = [] if masks else [f"no annotations of {name}"]
  absent = (_frames_of(objects) | set(masks)) - set(frames)
  return lines + [f"{where / name}/{frame}.jpg" for frame in sorted(absent)]


def _frames_of(objects: Mapping[int, Mapping[str, Any]]) -> set[str]:
  """Names of the frames that show any object, according to meta.json."""
  return {frame for about in objects.values() for frame in about.get("frames", ())}


def _object(about: Mapping[str, Any], seen: frozenset[str] | None) -> dict[str, Any]:
  """What meta.json says about an object, and whether its category is seen, if known."""
  if seen is None or "category" not in about:
    return dict(about)
  return dict(about) | {"seen": about["category"] in seen}


def _seen_categories(path: Path) -> frozenset[str] | None:
  """Categories of the training set; None without it."""
  if not path.is_file():
    return None
  return frozenset(
    about["category"]
    for video in _read_meta(path).values()
    for about in video["objects"].values()
  )


def _read_meta(path: Path) -> dict[str, Any]:
  if not path.is_file():
    refuse_incomplete(path.parent, ["no meta.json"])
  try:
    return json.loads(path.read_text())["videos"]
  except (KeyError, TypeError, json.JSONDecodeError) as error:
    raise ValueError(
      f"{path}: not a meta.json of YouTube-VOS ({error!r}). Unpack the archive again."
    ) from None
