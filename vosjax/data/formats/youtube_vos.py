"""The layout of YouTube-VOS: no resolutions, no lists, few annotated frames.

`datasets/export.py` writes other sparsely annotated datasets in this layout, too.
"""

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

from vosjax.data.formats.davis import resolutions
from vosjax.data.formats.folders import (
  FolderSource,
  find_videos,
  object_categories,
  read_names,
)

META = "meta.json"


@dataclasses.dataclass(frozen=True)
class YoutubeVosFolder(FolderSource):
  """A dataset in the layout of YouTube-VOS, as unpacked, as a source of videos.

  `ROOT/JPEGImages/VIDEO/00000.jpg` and `ROOT/Annotations/VIDEO/00000.png`, without
  lists; `VIDEO` may be a path of several folders. `ROOT/meta.json`, if it exists,
  describes the objects.

  Attributes:
    root: the folder that contains `JPEGImages`, or its parent with one such folder
      per subset: `YouTubeVOS/train` or `YouTubeVOS`.
    subset: name of the folder of the subset, all of whose annotated videos are used;
      or path of a text file with the name of one of its videos per line.
    every_frame: keep frames without annotation, to segment them. Otherwise they are
      left out, so that training clips consist of annotated frames.
    unlabelled: use videos without any annotation, too.

  Raises:
    ValueError: folders or files are missing; names them all at once.
  """

  subset: str = "train"
  every_frame: bool = False
  unlabelled: bool = False

  def __post_init__(self):
    root = self.folder
    frames_root, labels_root = root / "JPEGImages", root / "Annotations"
    videos = find_videos(
      str(root),
      self.subset,
      self._names(frames_root if self.unlabelled else labels_root),
      frames_root,
      labels_root,
      sparse=True,
      unlabelled=self.unlabelled,
    )
    if not self.every_frame:
      videos = tuple(video.annotated_part() for video in videos)
    objects = read_meta(root / META)
    videos = tuple(
      dataclasses.replace(video, objects=objects.get(video.name, {}))
      for video in videos
    )
    object.__setattr__(self, "videos", videos)

  @property
  def folder(self) -> Path:
    """The folder that contains `JPEGImages`.

    Raises:
      ValueError: there is none in this layout.
    """
    root = youtube_vos_root(Path(self.root), self.subset)
    if root is None:
      raise ValueError(
        f"root: {self.root} is not in the layout of YouTube-VOS: JPEGImages/VIDEO/"
        "*.jpg and Annotations/VIDEO/*.png."
      )
    return root

  def _names(self, videos_root: Path) -> list[str]:
    """Names of the videos of the subset: listed in a file, or all in `videos_root`."""
    root, list_file = self.folder, Path(self.subset).expanduser()
    if list_file.is_file():
      return read_names(list_file)
    is_folder = root == Path(self.root) / self.subset
    if not is_folder and (list_file.suffix or len(list_file.parts) > 1):
      raise ValueError(
        f"subset: no list {self.subset!r}. Give the path of a text file with one "
        "video name per line, or the name of a folder such as train."
      )
    names = _leaf_folders(videos_root)
    if not names:
      kind = "frames" if self.unlabelled else "annotations"
      raise ValueError(f"root: {root} contains no folder of {kind}.")
    return names


def youtube_vos_root(root: Path, subset: str) -> Path | None:
  """The folder of `JPEGImages` in the layout of YouTube-VOS, at `root` or below."""
  for folder in (root / subset, root):
    if (folder / "JPEGImages").is_dir() and not resolutions(folder / "JPEGImages"):
      return folder
  return None


def read_meta(path: Path) -> dict[str, dict[int, dict[str, Any]]]:
  """Metadata of each video's objects by id; empty without the file.

  Raises:
    ValueError: the file is not in this format.
  """
  if not path.is_file():
    return {}
  try:
    videos = json.loads(path.read_bytes())["videos"]
    return {
      name: {int(i): dict(about) for i, about in video["objects"].items()}
      for name, video in videos.items()
    }
  except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
    raise ValueError(
      f"{path}: not a meta.json of YouTube-VOS ({type(error).__name__}: {error}); "
      'expected {"videos": {NAME: {"objects": {ID: {"category": ...}}}}}. Correct the '
      "file, or remove it."
    ) from None


def read_categories(path: Path) -> dict[str, dict[int, str]]:
  """Categories of each video's objects by id, from the same file."""
  return {
    video: object_categories(objects) for video, objects in read_meta(path).items()
  }


def _leaf_folders(root: Path) -> list[str]:
  """Folders without subfolders, as sorted paths relative to `root`."""
  found = []
  for folder, inner, _ in os.walk(root, followlinks=True):
    inner[:] = [name for name in inner if not name.startswith(".")]
    if not inner and Path(folder) != root:
      found.append(Path(folder).relative_to(root).as_posix())
  return sorted(found)
