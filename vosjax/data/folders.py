"""Videos in the DAVIS folder layout, read straight from JPEG and PNG."""

import dataclasses
import functools
import os
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from vosjax.data import images

_FRAME_SUFFIXES = (".jpg", ".jpeg", ".png")
_MAX_LISTED = 20


@dataclasses.dataclass(frozen=True)
class FolderVideo:
  """One sequence: a folder of frames and a folder of label maps.

  Attributes:
    name: of the sequence.
    frame_files: in temporal order.
    label_files: one per frame, None where a frame has no annotation.
    binary: every id above 0 counts as object 1 (DAVIS 2016).
  """

  name: str
  frame_files: tuple[Path, ...]
  label_files: tuple[Path | None, ...]
  binary: bool = False

  @functools.cached_property
  def frame_names(self) -> tuple[str, ...]:
    """File names without suffix."""
    return tuple(path.stem for path in self.frame_files)

  @functools.cached_property
  def size(self) -> tuple[int, int]:
    """(height, width) of the first frame, which all others must have."""
    return images.image_size(self.frame_files[0])

  def __len__(self) -> int:
    return len(self.frame_files)

  def frame(self, index: int) -> UInt8[np.ndarray, "h w 3"]:
    """RGB; ValueError if unreadable or of another size than the first."""
    return self._sized(images.read_image(self.frame_files[index]),
                       self.frame_files[index])

  def labels(self, index: int) -> UInt8[np.ndarray, "h w"] | None:
    """Object ids; ValueError if unreadable or of another size than the frames."""
    path = self.label_files[index]
    if path is None:
      return None
    labels = self._sized(images.read_labels(path), path)
    return (labels > 0).view(np.uint8) if self.binary else labels

  def _sized(self, array: np.ndarray, path: Path) -> np.ndarray:
    if array.shape[:2] != self.size:
      raise ValueError(
          f"{path}: {array.shape[0]}x{array.shape[1]} pixels (height x width), but "
          f"{self.frame_files[0]} has {self.size[0]}x{self.size[1]}. Frames and "
          "masks of a video must have one size; resize masks with nearest "
          "neighbour.")
    return array


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

  Raises:
    ValueError: all missing folders and files at once.
  """

  root: str
  subset: str = "train"
  year: int = 2017
  resolution: str = "480p"
  annotations: str = "Annotations"
  sparse: bool = False
  videos: tuple[FolderVideo, ...] = dataclasses.field(
      init=False, repr=False, compare=False)

  def __post_init__(self):
    if self.year not in (2016, 2017):
      raise ValueError(f"year: got {self.year}, expected 2016 or 2017.")
    frames_root = _existing(Path(self.root) / "JPEGImages", self.resolution)
    labels_root = _existing(Path(self.root) / self.annotations, self.resolution)
    missing: list[str] = []
    videos = [self._open(name, frames_root / name, labels_root / name, missing)
              for name in self._names()]
    if missing:
      more = len(missing) - _MAX_LISTED
      hint = "" if self.sparse else (
          ", or pass sparse=True if only some frames are annotated on purpose")
      raise ValueError(
          f"{self.root}: {len(missing)} files of subset {self.subset!r} are missing: "
          f"{', '.join(missing[:_MAX_LISTED])}"
          f"{f' and {more} more' if more > 0 else ''}. Unpack the data set again"
          f"{hint}.")
    object.__setattr__(self, "videos", tuple(videos))

  def __len__(self) -> int:
    return len(self.videos)

  def __getitem__(self, index: int) -> FolderVideo:
    return self.videos[index]

  def _names(self) -> list[str]:
    path = self._list_file()
    names = []
    for line in path.read_text().splitlines():
      if entry := line.split():
        names.append(Path(entry[0]).parent.name if "/" in entry[0] else entry[0])
    names = list(dict.fromkeys(names))
    if not names:
      raise ValueError(f"{path}: an empty list, expected one video name a line.")
    return names

  def _list_file(self) -> Path:
    sets = Path(self.root) / "ImageSets"
    tried = [sets / str(self.year) / f"{self.subset}.txt",
             sets / self.resolution / f"{self.subset}.txt", Path(self.subset)]
    for path in tried:
      if path.is_file():
        return path
    known = sorted(str(p.relative_to(sets)) for p in sets.glob("*/*.txt"))
    raise ValueError(
        f"subset: no list {self.subset!r} of year {self.year} in {sets}; there are "
        f"{known}. Give the name of a list or the path of a text file.")

  def _open(self, name: str, frames_dir: Path, labels_dir: Path,
            missing: list[str]) -> FolderVideo:
    frames = _files(frames_dir, _FRAME_SUFFIXES)
    labels = _files(labels_dir, (".png",))
    root = Path(self.root)
    if not frames:
      missing.append(f"{frames_dir.relative_to(root)}/*.jpg")
    elif not labels:
      missing.append(f"{labels_dir.relative_to(root)}/*.png")
    else:
      missing += [f"{(frames_dir / stem).relative_to(root)}.jpg"
                  for stem in labels if stem not in frames]
      if not self.sparse:
        missing += [f"{(labels_dir / stem).relative_to(root)}.png"
                    for stem in frames if stem not in labels]
    return FolderVideo(
        name=name, frame_files=tuple(frames.values()),
        label_files=tuple(labels.get(stem) for stem in frames),
        binary=self.year == 2016)


def _files(folder: Path, suffixes: tuple[str, ...]) -> dict[str, Path]:
  """Stem -> path in the order of the names; empty if there is no such folder."""
  try:
    names = sorted(os.listdir(folder))
  except FileNotFoundError:
    return {}
  return {Path(name).stem: folder / name for name in names
          if name.lower().endswith(suffixes) and not name.startswith(".")}


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
      "SUBSET.txt.")
