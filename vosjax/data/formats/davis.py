"""Videos as folders of JPEG and PNG, and the layout of DAVIS."""

import dataclasses
import functools
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from vosjax.data.codecs import images

_FRAME_SUFFIXES = (".jpg", ".jpeg", ".png")
_RESOLUTION = re.compile(r"\d+p|Full-Resolution")
_MAX_LISTED = 20


@dataclasses.dataclass(frozen=True)
class FolderVideo:
  """One sequence: a folder of frames and a folder of label maps.

  Attributes:
    name: of the sequence.
    frame_files: in temporal order.
    label_files: one per frame, None where a frame has no annotation.
    binary: every id above 0 counts as object 1 (DAVIS 2016).
    objects: id -> what the data set says of the object, see `PreparedVideo`.
  """

  name: str
  frame_files: tuple[Path, ...]
  label_files: tuple[Path | None, ...]
  binary: bool = False
  objects: Mapping[int, Mapping[str, Any]] = dataclasses.field(
    default_factory=dict, hash=False
  )

  @functools.cached_property
  def frame_names(self) -> tuple[str, ...]:
    """File names without suffix."""
    return tuple(path.stem for path in self.frame_files)

  @functools.cached_property
  def size(self) -> tuple[int, int]:
    """(height, width) of the first frame, which all others must have."""
    return images.image_size(self.frame_files[0])

  @property
  def categories(self) -> dict[int, str]:
    """Category of each object that has one."""
    return {
      i: found["category"] for i, found in self.objects.items() if "category" in found
    }

  def __len__(self) -> int:
    return len(self.frame_files)

  def picture(self, index: int) -> Image.Image:
    """RGB; ValueError if unreadable or of another size than the first."""
    path = self.frame_files[index]
    picture = images.read_picture(path)
    self._check_size((picture.height, picture.width), path)
    return picture

  def frame(self, index: int) -> UInt8[np.ndarray, "h w 3"]:
    """`picture` as an array."""
    return np.asarray(self.picture(index))

  def labels(self, index: int) -> UInt8[np.ndarray, "h w"] | None:
    """Object ids; ValueError if unreadable or of another size than the frames."""
    path = self.label_files[index]
    if path is None:
      return None
    labels = images.read_labels(path)
    self._check_size(labels.shape, path)
    return (labels > 0).view(np.uint8) if self.binary else labels

  def annotated_part(self) -> "FolderVideo":
    """The video of the annotated frames alone."""
    kept = [t for t, path in enumerate(self.label_files) if path is not None]
    return dataclasses.replace(
      self,
      frame_files=tuple(self.frame_files[t] for t in kept),
      label_files=tuple(self.label_files[t] for t in kept),
    )

  def _check_size(self, size: tuple[int, int], path: Path) -> None:
    if size != self.size:
      raise ValueError(
        f"{path}: {size[0]}x{size[1]} pixels (height x width), but "
        f"{self.frame_files[0]} has {self.size[0]}x{self.size[1]}. Frames and "
        "masks of a video must have one size; resize masks with nearest "
        "neighbour."
      )


@dataclasses.dataclass(frozen=True)
class DavisFolder:
  """A data set in DAVIS layout as a source of videos.

  `ROOT/JPEGImages/480p/NAME/00000.jpg`, `ROOT/Annotations/480p/NAME/00000.png`
  and `ROOT/ImageSets/2017/train.txt`. Both list formats are read: one name a
  line (2017), or pairs of files (2016, under `ImageSets/480p` as well).

  Attributes:
    root: the folder that holds `JPEGImages`.
    subset: name of a list in `ImageSets`, or path of a text file.
    year: 2016 or 2017; 2016 merges all objects into one.
    resolution: name of the folder below `JPEGImages`, e.g. 480p or
      Full-Resolution.
    annotations: folder of label maps; `Annotations_unsupervised` for the
      unsupervised 2017 task.
    sparse: some frames have no annotation on purpose. Otherwise such a frame is
      a missing file.
    unlabelled: so it is with whole videos; there need not be any annotations.

  Raises:
    ValueError: all missing folders and files at once.
  """

  root: str
  subset: str = "train"
  year: int = 2017
  resolution: str = "480p"
  annotations: str = "Annotations"
  sparse: bool = False
  unlabelled: bool = False
  videos: tuple[FolderVideo, ...] = dataclasses.field(
    init=False, repr=False, compare=False
  )

  def __post_init__(self):
    if self.year not in (2016, 2017):
      raise ValueError(f"year: got {self.year}, expected 2016 or 2017.")
    frames_root = _existing(Path(self.root) / "JPEGImages", self.resolution)
    labels_root = Path(self.root) / self.annotations / self.resolution
    if not self.unlabelled:
      _existing(labels_root.parent, self.resolution)
    videos = open_videos(
      self.root,
      self.subset,
      read_names(self.list_file),
      frames_root,
      labels_root,
      sparse=self.sparse,
      unlabelled=self.unlabelled,
    )
    object.__setattr__(
      self,
      "videos",
      tuple(dataclasses.replace(video, binary=self.year == 2016) for video in videos),
    )

  def __len__(self) -> int:
    return len(self.videos)

  def __getitem__(self, index: int) -> FolderVideo:
    return self.videos[index]

  @property
  def list_file(self) -> Path:
    """The list that `subset` names."""
    sets = Path(self.root) / "ImageSets"
    tried = [
      sets / str(self.year) / f"{self.subset}.txt",
      sets / self.resolution / f"{self.subset}.txt",
      Path(self.subset),
    ]
    for path in tried:
      if path.is_file():
        return path
    known = sorted(str(p.relative_to(sets)) for p in sets.glob("*/*.txt"))
    raise ValueError(
      f"subset: no list {self.subset!r} of year {self.year} in {sets}; there are "
      f"{known}. Give the name of a list or the path of a text file."
    )


def resolutions(folder: Path) -> list[str]:
  """Names of the sizes in `JPEGImages` or `Annotations` of DAVIS, such as 480p."""
  return [name for name in subfolders(folder) if _RESOLUTION.fullmatch(name)]


def subfolders(folder: Path) -> list[str]:
  """Names of the folders in a folder, sorted; none if it is not there."""
  if not folder.is_dir():
    return []
  with os.scandir(folder) as entries:
    return sorted(
      entry.name
      for entry in entries
      if entry.is_dir() and not entry.name.startswith(".")
    )


def read_names(path: Path) -> list[str]:
  """Names of videos in a list: one a line, or pairs of files as in DAVIS 2016."""
  names = []
  for line in path.read_text().splitlines():
    if entry := line.split():
      is_file = entry[0].lower().endswith(_FRAME_SUFFIXES)
      names.append(Path(entry[0]).parent.name if is_file else entry[0])
  names = list(dict.fromkeys(names))
  if not names:
    raise ValueError(f"{path}: an empty list, expected one video name a line.")
  return names


def open_videos(
  root: str,
  subset: str,
  names: Sequence[str],
  frames_root: Path,
  labels_root: Path,
  *,
  sparse: bool,
  unlabelled: bool = False,
) -> tuple[FolderVideo, ...]:
  """Opens videos whose frames and label maps lie in folders of their names.

  Args:
    root: of the data set, for error texts.
    subset: likewise.
    names: of the videos; `cat/0001` is a folder in a folder.
    frames_root: where the folders of the frames are.
    labels_root: where those of the label maps are.
    sparse: frames need no label map as long as one of the video has one.
    unlabelled: not even that.

  Raises:
    ValueError: files are missing; names them.
  """
  missing: list[Path] = []
  videos = []
  for name in names:
    frames_dir, labels_dir = frames_root / name, labels_root / name
    frames = picture_files(frames_dir)
    stems = sorted(frames, key=by_number)
    labels = picture_files(labels_dir, (".png",))
    if not frames:
      missing.append(frames_dir / "*.jpg")
    elif labels or not unlabelled:
      missing += _missing(frames_dir, labels_dir, stems, labels, sparse)
    videos.append(
      FolderVideo(
        name,
        tuple(frames[stem] for stem in stems),
        tuple(labels.get(stem) for stem in stems),
      )
    )
  if missing:
    listed = ", ".join(str(path.relative_to(root)) for path in missing[:_MAX_LISTED])
    more = len(missing) - _MAX_LISTED
    hint = (
      ""
      if sparse
      else (", or pass sparse=True if only some frames are annotated on purpose")
    )
    raise ValueError(
      f"{root}: {len(missing)} files of subset {subset!r} are missing: {listed}"
      f"{f' and {more} more' if more > 0 else ''}. Unpack the data set again{hint}."
    )
  return tuple(videos)


def _missing(frames_dir, labels_dir, stems, labels, sparse) -> list[Path]:
  """Files that a video lacks, of those that belong together."""
  if not labels:
    return [labels_dir / "*.png"]
  present = set(stems)
  absent = [frames_dir / f"{stem}.jpg" for stem in labels if stem not in present]
  if not sparse:
    absent += [labels_dir / f"{stem}.png" for stem in stems if stem not in labels]
  return absent


def picture_files(
  folder: Path, suffixes: tuple[str, ...] = _FRAME_SUFFIXES
) -> dict[str, Path]:
  """Stem -> path in the order of the names; empty if there is no such folder."""
  try:
    names = sorted(os.listdir(folder))
  except FileNotFoundError:
    return {}
  return {
    Path(name).stem: folder / name
    for name in names
    if name.lower().endswith(suffixes) and not name.startswith(".")
  }


def by_number(stem: str) -> list[tuple[bool, int, str]]:
  """A key that sorts names by the numbers in them: 9 before 10, padded or not."""
  return [
    (part.isdecimal(), int(part) if part.isdecimal() else 0, part)
    for part in re.split(r"(\d+)", stem)
  ]


def _existing(folder: Path, resolution: str) -> Path:
  path = folder / resolution
  if path.is_dir():
    return path
  known = sorted(p.name for p in folder.iterdir()) if folder.is_dir() else []
  if known:
    raise ValueError(f"resolution: no folder {path}; {folder} holds {known}.")
  raise ValueError(
    f"root: no folder {path}. Expected the DAVIS layout: JPEGImages/{resolution}/"
    f"NAME/*.jpg, {folder.name}/{resolution}/NAME/*.png and ImageSets/YEAR/"
    "SUBSET.txt."
  )
