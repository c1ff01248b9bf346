"""Recognises the layout of a user's own data, and finds the videos in it."""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from vosjax.data.formats.coco import CocoVideo, read_coco
from vosjax.data.formats.davis import resolutions
from vosjax.data.formats.folders import (
  FolderVideo,
  by_number,
  image_files,
  read_names,
  subfolders,
)
from vosjax.data.formats.youtube_vos import META, read_categories

LISTS = ("train", "val")
_EXPECTED = (
  "a folder in the layout of DAVIS (JPEGImages/480p/VIDEO/*.jpg, Annotations/480p/"
  "VIDEO/*.png) or of YouTube-VOS (the same without 480p), or a COCO-style .json file"
)


@dataclasses.dataclass(frozen=True)
class UserData:
  """The videos found in a user's data; no image has been decoded.

  Attributes:
    layout: DAVIS, YouTube-VOS or COCO.
    videos: sorted by name.
    lists: names of the videos in `train` and `val`, if the data have both lists.
    categories: of the objects by video and id, if the data have them.
    unlisted: names of the folders that are in no list.
    problems: files that do not belong together, one line each.
  """

  layout: str
  videos: tuple[FolderVideo | CocoVideo, ...]
  lists: Mapping[str, Sequence[str]]
  categories: Mapping[str, Mapping[int, str]]
  unlisted: tuple[str, ...] = ()
  problems: tuple[str, ...] = ()

  def __post_init__(self):
    names = [video.name for video in self.videos]
    duplicates = sorted({name for name in names if names.count(name) > 1})
    if duplicates:
      raise ValueError(f"several videos have the same name: {', '.join(duplicates)}.")


def find_user_data(source: Path, images: Path | None = None) -> UserData:
  """Finds the videos of a user's data, whatever their layout.

  Args:
    source: a folder in DAVIS or YouTube-VOS layout, or a COCO-style JSON file.
    images: for JSON: the folder that its file names are relative to.

  Raises:
    ValueError: the layout is none of these; says what was found instead.
  """
  if source.is_file():
    return _from_json(source, images)
  if images is not None:
    raise ValueError(f"--images is for a .json file, but {source} is not one.")
  return _from_folder(source)


def frame_names(video: FolderVideo | CocoVideo) -> tuple[str, ...]:
  """The names of the frames, or numbers if sorting the names would reorder them."""
  names = video.frame_names
  if list(names) == sorted(set(names)):
    return names
  return tuple(f"{t:05d}" for t in range(len(names)))


def _from_json(path: Path, images: Path | None) -> UserData:
  videos = [
    dataclasses.replace(video, name=_plain(video.name))
    for video in read_coco(path, images)
  ]
  return UserData(
    "COCO",
    tuple(sorted(videos, key=lambda video: video.name)),
    lists={},
    categories={video.name: video.categories for video in videos},
  )


def _from_folder(source: Path) -> UserData:
  frames_root, labels_root = source / "JPEGImages", source / "Annotations"
  if not frames_root.is_dir() or not labels_root.is_dir():
    raise ValueError(f"{source}: {_content(source)} Expected {_EXPECTED}.")
  layout, lists = "YouTube-VOS", {}
  if sizes := resolutions(frames_root):
    size = "480p" if "480p" in sizes else sizes[0]
    layout, lists = "DAVIS", _lists(source / "ImageSets", size)
    frames_root, labels_root = frames_root / size, labels_root / size
  folders = subfolders(frames_root)
  names = list(dict.fromkeys(x for listed in lists.values() for x in listed)) or folders
  problems: list[str] = []
  videos = [_video(frames_root / x, labels_root / x, problems) for x in names]
  categories = read_categories(source / META)
  return UserData(
    layout,
    tuple(sorted((v for v in videos if v.frame_files), key=lambda video: video.name)),
    lists={key: [_plain(x) for x in listed] for key, listed in lists.items()},
    categories={_plain(name): categories[name] for name in names if name in categories},
    unlisted=tuple(x for x in folders if x not in names),
    problems=tuple(problems),
  )


def _video(frames_dir: Path, labels_dir: Path, problems: list[str]) -> FolderVideo:
  """The video in two folders, its frames sorted by the numbers in their names."""
  frames = image_files(frames_dir)
  labels = image_files(labels_dir, (".png",))
  if not frames:
    problems.append(f"{frames_dir}: no frames (.jpg, .jpeg or .png).")
  problems += [
    f"{path}: a label map without frame {frames_dir.name}/{stem}.jpg."
    for stem, path in labels.items()
    if frames and stem not in frames
  ]
  stems = sorted(frames, key=by_number)
  return FolderVideo(
    _plain(frames_dir.name),
    tuple(frames[stem] for stem in stems),
    tuple(labels.get(stem) for stem in stems),
  )


def _lists(sets: Path, size: str) -> dict[str, list[str]]:
  """Training and validation lists, joined over the years; empty if one is absent."""
  lists: dict[str, list[str]] = {}
  for name in LISTS:
    files = [
      folder / f"{name}.txt"
      for folder in (sets / "2017", sets / "2016", sets / size, sets)
    ]
    names = [x for path in files if path.is_file() for x in read_names(path)]
    lists[name] = list(dict.fromkeys(names))
  return lists if all(lists.values()) else {}


def _content(source: Path) -> str:
  """What a folder without videos contains, and which path was probably meant."""
  if not source.exists():
    return "no such file or folder."
  below = [
    name for name in subfolders(source) if (source / name / "JPEGImages").is_dir()
  ]
  if below:
    return f"contains data in {', '.join(below)}: give {source / below[0]}."
  files = sorted(path.name for path in source.glob("*.json"))
  if files:
    return f"contains {', '.join(files[:5])}: give {source / files[0]}."
  inside = sorted(path.name for path in source.iterdir())[:5]
  return f"contains {', '.join(inside) or 'nothing'}."


def _plain(name: str) -> str:
  """The name as a single folder without spaces."""
  return re.sub(r"[^\w.-]+", "_", name).strip("._") or "video"
