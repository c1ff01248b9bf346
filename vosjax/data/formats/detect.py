"""A user's own data: which layout it has, and the videos in it."""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from vosjax.data.formats import davis
from vosjax.data.formats.coco import CocoVideo, read_coco
from vosjax.data.formats.davis import FolderVideo
from vosjax.data.formats.youtube_vos import META, read_categories

LISTS = ("train", "val")
_EXPECTED = (
  "a folder in the layout of DAVIS (JPEGImages/480p/VIDEO/*.jpg, Annotations/480p/"
  "VIDEO/*.png), one in that of YouTube-VOS (the same without 480p), or a COCO-style "
  ".json file"
)


@dataclasses.dataclass(frozen=True)
class OwnData:
  """Videos as they were found; no picture has been decoded.

  Attributes:
    layout: DAVIS, YouTube-VOS or COCO.
    videos: by name, sorted.
    lists: names of the videos in `train` and `val`, where the data have both lists.
    categories: of objects by video and id, where the data say.
    unlisted: names of the folders that no list names.
    problems: files that do not belong together, one line each.
  """

  layout: str
  videos: tuple[FolderVideo | CocoVideo, ...]
  lists: Mapping[str, Sequence[str]]
  categories: Mapping[str, Mapping[int, str]]
  unlisted: tuple[str, ...] = ()
  problems: tuple[str, ...] = ()


def find_videos(source: Path, images: Path | None = None) -> OwnData:
  """Opens a user's data, whatever their layout.

  Args:
    source: a folder in DAVIS or YouTube-VOS layout, or a COCO-style JSON file.
    images: for JSON: the folder that its file names are relative to.

  Raises:
    ValueError: the layout is none of these; says what was found instead.
  """
  if source.is_file():
    videos = [
      dataclasses.replace(video, name=_plain(video.name))
      for video in read_coco(source, images)
    ]
    categories = {video.name: video.categories for video in videos}
    return _own_data("COCO", videos, {}, categories)
  if images is not None:
    raise ValueError(f"--images belongs to a .json file, and {source} is none.")
  frames_root, labels_root = source / "JPEGImages", source / "Annotations"
  if not frames_root.is_dir() or not labels_root.is_dir():
    raise ValueError(f"{source}: {_what_is_there(source)} Expected {_EXPECTED}.")
  layout, lists = "YouTube-VOS", {}
  if sizes := davis.resolutions(frames_root):
    size = "480p" if "480p" in sizes else sizes[0]
    layout, lists = "DAVIS", _lists(source / "ImageSets", size)
    frames_root, labels_root = frames_root / size, labels_root / size
  listed = dict.fromkeys(name for names in lists.values() for name in names)
  there = davis.subfolders(frames_root)
  names = list(listed) or there
  problems: list[str] = []
  videos = [_open(frames_root / x, labels_root / x, problems) for x in names]
  meta = read_categories(source / META)
  return _own_data(
    layout,
    [video for video in videos if video.frame_files],
    {key: [_plain(x) for x in names] for key, names in lists.items()},
    {_plain(name): meta[name] for name in names if name in meta},
    unlisted=tuple(x for x in there if x not in names),
    problems=tuple(problems),
  )


def frame_names(video: FolderVideo | CocoVideo) -> tuple[str, ...]:
  """Names for frames that keep their order when sorted: their own if these do."""
  own = video.frame_names
  if list(own) == sorted(set(own)):
    return own
  return tuple(f"{t:05d}" for t in range(len(own)))


def _own_data(layout, videos, lists, categories, **more) -> OwnData:
  names = [video.name for video in videos]
  twice = sorted({name for name in names if names.count(name) > 1})
  if twice:
    raise ValueError(f"several videos of the same name: {', '.join(twice)}.")
  return OwnData(
    layout,
    tuple(sorted(videos, key=lambda video: video.name)),
    lists,
    categories,
    **more,
  )


def _open(frames_dir: Path, labels_dir: Path, problems: list[str]) -> FolderVideo:
  """A video of two folders, frames in the order of the numbers in their names."""
  frames = davis.picture_files(frames_dir)
  labels = davis.picture_files(labels_dir, (".png",))
  if not frames:
    problems.append(f"{frames_dir}: no frames (.jpg, .jpeg or .png).")
  problems += [
    f"{path}: a label map without frame {frames_dir.name}/{stem}.jpg."
    for stem, path in labels.items()
    if frames and stem not in frames
  ]
  stems = sorted(frames, key=davis.by_number)
  return FolderVideo(
    _plain(frames_dir.name),
    tuple(frames[stem] for stem in stems),
    tuple(labels.get(stem) for stem in stems),
  )


def _lists(sets: Path, size: str) -> dict[str, list[str]]:
  """Training and validation lists, those of all years joined; none if one is absent."""
  found: dict[str, list[str]] = {}
  for name in LISTS:
    files = [
      folder / f"{name}.txt"
      for folder in (sets / "2017", sets / "2016", sets / size, sets)
    ]
    names = [x for path in files if path.is_file() for x in davis.read_names(path)]
    found[name] = list(dict.fromkeys(names))
  return found if all(found.values()) else {}


def _what_is_there(source: Path) -> str:
  if not source.exists():
    return "no such file or folder."
  below = [
    name for name in davis.subfolders(source) if (source / name / "JPEGImages").is_dir()
  ]
  if below:
    return f"holds data in {', '.join(below)}: give {source / below[0]}."
  files = sorted(path.name for path in source.glob("*.json"))
  if files:
    return f"holds {', '.join(files[:5])}: give {source / files[0]}."
  inside = sorted(path.name for path in source.iterdir())[:5]
  return f"holds {', '.join(inside) or 'nothing'}."


def _plain(name: str) -> str:
  """A name that is one folder and one word."""
  return re.sub(r"[^\w.-]+", "_", name).strip("._") or "video"
