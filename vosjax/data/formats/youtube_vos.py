"""Videos in the layout of YouTube-VOS: no sizes, no lists, few annotated frames.

`datasets/export.py` writes other sets of sparse annotations in it, too.
"""

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

from vosjax.data.formats.davis import FolderVideo, open_videos, read_names, resolutions

META = "meta.json"


@dataclasses.dataclass(frozen=True)
class YoutubeVosFolder:
  """A data set in the layout of YouTube-VOS, as unpacked, as a source of videos.

  `ROOT/JPEGImages/VIDEO/00000.jpg` and `ROOT/Annotations/VIDEO/00000.png`, without
  lists; `VIDEO` may be a way through several folders. `ROOT/meta.json`, if it is
  there, says what the objects are.

  Attributes:
    root: the folder that holds `JPEGImages`, or the one above it, which holds such a
      folder for each subset: `YouTubeVOS/train` or `YouTubeVOS`.
    subset: name of that folder, whose annotated videos are all taken; or path of a
      text file with one of their names a line.
    every_frame: as videos are segmented. Otherwise frames without annotation are left
      out: a clip to train on is made of annotated ones.
    unlabelled: take videos without any annotation, too.

  Raises:
    ValueError: all missing folders and files at once.
  """

  root: str
  subset: str = "train"
  every_frame: bool = False
  unlabelled: bool = False
  videos: tuple[FolderVideo, ...] = dataclasses.field(
    init=False, repr=False, compare=False
  )

  def __post_init__(self):
    root = self.folder
    frames_root, labels_root = root / "JPEGImages", root / "Annotations"
    listed = Path(self.subset).expanduser()
    named = root == Path(self.root) / self.subset
    if listed.is_file():
      names = read_names(listed)
    elif not named and (listed.suffix or len(listed.parts) > 1):
      raise ValueError(
        f"subset: no list {self.subset!r}. Give the path of a text file with the "
        "name of a video a line, or the name of a folder such as train."
      )
    else:
      names = _names(frames_root if self.unlabelled else labels_root)
    if not names:
      kind = "frames" if self.unlabelled else "annotations"
      raise ValueError(f"root: {root} holds no folder of {kind}.")
    videos = open_videos(
      str(root),
      self.subset,
      names,
      frames_root,
      labels_root,
      sparse=True,
      unlabelled=self.unlabelled,
    )
    if not self.every_frame:
      videos = tuple(video.annotated_part() for video in videos)
    objects = read_meta(root / META)
    object.__setattr__(
      self,
      "videos",
      tuple(
        dataclasses.replace(video, objects=objects.get(video.name, {}))
        for video in videos
      ),
    )

  @property
  def folder(self) -> Path:
    """That of `JPEGImages`."""
    root = youtube_vos_root(Path(self.root), self.subset)
    if root is None:
      raise ValueError(
        f"root: {self.root} is not in the layout of YouTube-VOS: JPEGImages/VIDEO/"
        "*.jpg and Annotations/VIDEO/*.png."
      )
    return root

  def __len__(self) -> int:
    return len(self.videos)

  def __getitem__(self, index: int) -> FolderVideo:
    return self.videos[index]


def youtube_vos_root(root: Path, subset: str) -> Path | None:
  """The folder of `JPEGImages` in the layout of YouTube-VOS, at `root` or below."""
  for folder in (root / subset, root):
    if (folder / "JPEGImages").is_dir() and not resolutions(folder / "JPEGImages"):
      return folder
  return None


def read_meta(path: Path) -> dict[str, dict[int, dict[str, Any]]]:
  """What `meta.json` says of each video's objects, by id; nothing without the file.

  Raises:
    ValueError: the file is something else.
  """
  if not path.is_file():
    return {}
  try:
    videos = json.loads(path.read_bytes())["videos"]
    return {
      name: {int(i): dict(found) for i, found in video["objects"].items()}
      for name, video in videos.items()
    }
  except (AttributeError, KeyError, TypeError, ValueError) as error:
    raise ValueError(
      f"{path}: not a meta.json of YouTube-VOS ({type(error).__name__}: {error}); it "
      'holds {"videos": {NAME: {"objects": {ID: {"category": ...}}}}}. Mend it, or '
      "take it away."
    ) from None


def read_categories(path: Path) -> dict[str, dict[int, str]]:
  """Category of each video's objects that have one, of the same file."""
  return {
    video: {i: found["category"] for i, found in objects.items() if "category" in found}
    for video, objects in read_meta(path).items()
  }


def _names(root: Path) -> list[str]:
  """The folders without further ones in them, by their way from `root`, sorted."""
  found = []
  for folder, inner, _ in os.walk(root, followlinks=True):
    inner[:] = [name for name in inner if not name.startswith(".")]
    if not inner and Path(folder) != root:
      found.append(Path(folder).relative_to(root).as_posix())
  return sorted(found)
