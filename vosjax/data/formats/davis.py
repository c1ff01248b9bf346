"""The layout of DAVIS: frames and label maps by resolution, and lists of names."""

import dataclasses
import re
from pathlib import Path

from vosjax.data.formats.folders import (
  FolderSource,
  find_videos,
  read_names,
  subfolders,
)

_RESOLUTION = re.compile(r"\d+p|Full-Resolution")


@dataclasses.dataclass(frozen=True)
class DavisFolder(FolderSource):
  """A dataset in the layout of DAVIS as a source of videos.

  `ROOT/JPEGImages/480p/NAME/00000.jpg`, `ROOT/Annotations/480p/NAME/00000.png`
  and `ROOT/ImageSets/2017/train.txt`. Both list formats are read: one name per
  line (2017), or pairs of files (2016, under `ImageSets/480p` as well).

  Attributes:
    root: the folder that contains `JPEGImages`.
    subset: name of a list in `ImageSets`, or path of a text file.
    year: 2016 or 2017; 2016 merges all objects into one.
    resolution: name of the folder below `JPEGImages`, e.g. 480p or
      Full-Resolution.
    annotations: folder of label maps; `Annotations_unsupervised` for the
      unsupervised task of 2017.
    sparse: allow frames without annotation, which are otherwise missing files.
    unlabelled: allow videos without any annotation as well.

  Raises:
    ValueError: folders or files are missing; names them all at once.
  """

  subset: str = "train"
  year: int = 2017
  resolution: str = "480p"
  annotations: str = "Annotations"
  sparse: bool = False
  unlabelled: bool = False

  def __post_init__(self):
    if self.year not in (2016, 2017):
      raise ValueError(f"year: got {self.year}, expected 2016 or 2017.")
    frames_root = _existing(Path(self.root) / "JPEGImages", self.resolution)
    labels_root = Path(self.root) / self.annotations / self.resolution
    if not self.unlabelled:
      _existing(labels_root.parent, self.resolution)
    videos = find_videos(
      self.root,
      self.subset,
      read_names(self.list_file),
      frames_root,
      labels_root,
      sparse=self.sparse,
      unlabelled=self.unlabelled,
    )
    binary = self.year == 2016
    videos = tuple(dataclasses.replace(video, binary=binary) for video in videos)
    object.__setattr__(self, "videos", videos)

  @property
  def list_file(self) -> Path:
    """The list that `subset` names.

    Raises:
      ValueError: there is no such list; names the available ones.
    """
    sets = Path(self.root) / "ImageSets"
    candidates = [
      sets / str(self.year) / f"{self.subset}.txt",
      sets / self.resolution / f"{self.subset}.txt",
      Path(self.subset),
    ]
    for path in candidates:
      if path.is_file():
        return path
    known = sorted(str(p.relative_to(sets)) for p in sets.glob("*/*.txt"))
    raise ValueError(
      f"subset: no list {self.subset!r} of year {self.year} in {sets}; available are "
      f"{known}. Give the name of a list or the path of a text file."
    )


def resolutions(folder: Path) -> list[str]:
  """The resolutions, such as 480p, below `JPEGImages` or `Annotations` of DAVIS."""
  return [name for name in subfolders(folder) if _RESOLUTION.fullmatch(name)]


def _existing(folder: Path, resolution: str) -> Path:
  path = folder / resolution
  if path.is_dir():
    return path
  known = sorted(p.name for p in folder.iterdir()) if folder.is_dir() else []
  if known:
    raise ValueError(f"resolution: no folder {path}; {folder} contains {known}.")
  raise ValueError(
    f"root: no folder {path}. Expected the DAVIS layout: JPEGImages/{resolution}/"
    f"NAME/*.jpg, {folder.name}/{resolution}/NAME/*.png and ImageSets/YEAR/"
    "SUBSET.txt."
  )
