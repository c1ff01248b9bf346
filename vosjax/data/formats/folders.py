"""Videos as folders of images: one of frames and one of label maps.

DAVIS and YouTube-VOS are laid out in this way, and so are most users' own videos.
"""

import dataclasses
import functools
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from vosjax.data.codecs import images, label_images
from vosjax.data.codecs.label_values import Interpretation
from vosjax.data.video import Source, Video
from vosjax.labels import VOID

_FRAME_SUFFIXES = (".jpg", ".jpeg", ".png")
_MAX_LISTED = 20


@dataclasses.dataclass(frozen=True)
class FolderVideo(Video):
  """A folder of frames and a folder of label maps.

  Attributes:
    name: of the video.
    frame_files: in temporal order.
    label_files: one per frame, None where a frame has no annotation.
    binary: every id above 0 counts as object 1 (DAVIS 2016).
    objects: metadata of each object by id, see `PreparedVideo`.
    bits: of 16-bit gray frames, the bits that hold their values.
  """

  name: str
  frame_files: tuple[Path, ...]
  label_files: tuple[Path | None, ...]
  binary: bool = False
  objects: Mapping[int, Mapping[str, Any]] = dataclasses.field(
    default_factory=dict, hash=False
  )
  bits: int = 16

  @functools.cached_property
  def frame_names(self) -> tuple[str, ...]:
    """File names without suffix."""
    return tuple(path.stem for path in self.frame_files)

  @functools.cached_property
  def size(self) -> tuple[int, int]:
    """(height, width) from the header of the first frame."""
    return images.image_size(self.frame_files[0])

  @functools.cached_property
  def annotated_frames(self) -> tuple[int, ...]:
    return tuple(t for t, path in enumerate(self.label_files) if path is not None)

  @property
  def categories(self) -> Mapping[int, str]:
    return object_categories(self.objects)

  def __len__(self) -> int:
    return len(self.frame_files)

  def frame(self, index: int) -> UInt8[np.ndarray, "h w 3"]:
    """RGB; ValueError if unreadable or of another size than the first frame."""
    path = self.frame_files[index]
    frame = images.read_image(path, self.bits)
    self._check_size(frame.shape[:2], path)
    return frame

  def labels(self, index: int) -> UInt8[np.ndarray, "h w"] | None:
    """Object ids; ValueError if unreadable or of another size than the frames."""
    mask = self.read_mask(index)
    if mask is None:
      return None
    if self.binary:
      return (mask.labels > 0).view(np.uint8)
    if mask.black_and_white and self._has_void:
      return np.where(mask.labels > 0, VOID, 0).astype(np.uint8)
    return mask.labels

  @functools.cached_property
  def _has_void(self) -> bool:
    """Whether a mask holds 255 beside ids: then white is void in all of them."""
    return any(
      mask is not None
      and not mask.black_and_white
      and bool((mask.labels == VOID).any())
      for mask in map(self.read_mask, range(len(self)))
    )

  def read_mask(self, index: int) -> Interpretation | None:
    """`labels`, before `binary` counts, with what was done to get them."""
    path = self.label_files[index]
    if path is None:
      return None
    mask = label_images.read_mask(path)
    self._check_size(mask.labels.shape, path)
    return mask

  def annotated_part(self) -> "FolderVideo":
    """The video of the annotated frames alone."""
    return dataclasses.replace(
      self,
      frame_files=tuple(self.frame_files[t] for t in self.annotated_frames),
      label_files=tuple(self.label_files[t] for t in self.annotated_frames),
    )

  def _check_size(self, size: tuple[int, ...], path: Path) -> None:
    if size != self.size:
      raise ValueError(
        f"{path}: {size[0]}x{size[1]} pixels (height x width), but "
        f"{self.frame_files[0]} has {self.size[0]}x{self.size[1]}. All frames and "
        "masks of a video must have the same size; resize masks with nearest "
        "neighbour."
      )


@dataclasses.dataclass(frozen=True)
class FolderSource(Source):
  """A source of the videos below a folder, all found when it is created.

  Attributes:
    root: folder of the dataset.
    videos: in order.
  """

  root: str
  videos: tuple[FolderVideo, ...] = dataclasses.field(
    init=False, repr=False, compare=False
  )

  def __len__(self) -> int:
    return len(self.videos)

  def __getitem__(self, index: int) -> FolderVideo:
    return self.videos[index]

  @property
  def origin(self) -> str:
    return self.root

  @property
  def num_frames(self) -> Mapping[str, int]:
    return {video.name: len(video) for video in self.videos}


def object_categories(objects: Mapping[int, Mapping[str, Any]]) -> dict[int, str]:
  """The `category` of each object that has one, by id."""
  return {i: about["category"] for i, about in objects.items() if "category" in about}


def subfolders(folder: Path) -> list[str]:
  """Sorted names of the folders in a folder; empty if it does not exist."""
  if not folder.is_dir():
    return []
  with os.scandir(folder) as entries:
    return sorted(
      entry.name
      for entry in entries
      if entry.is_dir() and not entry.name.startswith(".")
    )


def read_names(path: Path) -> list[str]:
  """Video names from a list: one per line, or pairs of files as in DAVIS 2016.

  Raises:
    ValueError: the list is empty.
  """
  names = []
  for line in path.read_text().splitlines():
    if entry := line.split():
      is_file = entry[0].lower().endswith(_FRAME_SUFFIXES)
      names.append(Path(entry[0]).parent.name if is_file else entry[0])
  names = list(dict.fromkeys(names))
  if not names:
    raise ValueError(f"{path}: the list is empty, expected one video name per line.")
  return names


def find_videos(
  root: str,
  subset: str,
  names: Sequence[str],
  frames_root: Path,
  labels_root: Path,
  *,
  sparse: bool,
  unlabelled: bool = False,
) -> tuple[FolderVideo, ...]:
  """Finds videos whose frames and label maps are in folders of the same name.

  Args:
    root: of the dataset, for error messages.
    subset: for error messages.
    names: of the videos; `cat/0001` is a folder within a folder.
    frames_root: contains the folders of frames.
    labels_root: contains the folders of label maps.
    sparse: a video needs a label map for at least one frame, not for all.
    unlabelled: a video needs no label maps at all.

  Raises:
    ValueError: files are missing; names them.
  """
  missing: list[Path] = []
  videos = []
  for name in names:
    frames_dir, labels_dir = frames_root / name, labels_root / name
    frames = image_files(frames_dir)
    labels = image_files(labels_dir, (".png",))
    stems = sorted(frames, key=by_number)
    if not frames:
      missing.append(frames_dir / "*.jpg")
    elif not labels:
      missing += [] if unlabelled else [labels_dir / "*.png"]
    else:
      missing += [frames_dir / f"{stem}.jpg" for stem in labels if stem not in frames]
      if not sparse:
        missing += [labels_dir / f"{stem}.png" for stem in stems if stem not in labels]
    videos.append(
      FolderVideo(
        name,
        tuple(frames[stem] for stem in stems),
        tuple(labels.get(stem) for stem in stems),
      )
    )
  if missing:
    hint = "" if sparse else ", or pass sparse=True if only some frames are annotated"
    raise ValueError(
      f"{root}: {len(missing)} files of subset {subset!r} are missing: "
      f"{first_few(path.relative_to(root) for path in missing)}. Unpack the dataset "
      f"again{hint}."
    )
  return tuple(videos)


def first_few(items: Iterable[object], most: int = _MAX_LISTED) -> str:
  """The first items, and how many more there are, for an error message."""
  listed = [str(item) for item in items]
  more = f" and {len(listed) - most} more" if len(listed) > most else ""
  return ", ".join(listed[:most]) + more


def image_files(
  folder: Path, suffixes: tuple[str, ...] = _FRAME_SUFFIXES
) -> dict[str, Path]:
  """Path of each image by its stem, sorted by name; empty without the folder.

  Raises:
    ValueError: two of them differ only in their suffix.
  """
  try:
    names = sorted(os.listdir(folder))
  except FileNotFoundError:
    return {}
  found: dict[str, Path] = {}
  for name in names:
    if not name.lower().endswith(suffixes) or name.startswith("."):
      continue
    path = folder / name
    if path.stem in found:
      raise ValueError(
        f"{folder}: {found[path.stem].name} and {name} have the same name. Remove one "
        "of them, or move it to another folder."
      )
    found[path.stem] = path
  return found


def numbers(names: Iterable[str]) -> dict[int, str] | None:
  """Names by the last number in each of them; None unless these are unique."""
  found: dict[int, str] = {}
  for name in names:
    digits = re.findall(r"\d+", name)
    if not digits or int(digits[-1]) in found:
      return None
    found[int(digits[-1])] = name
  return found


def path_inside(folder: Path, name: str) -> Path:
  """The path of a file below a folder, as another file names it.

  Raises:
    ValueError: the name is absolute, or leads out of the folder.
  """
  parts = Path(name.replace("\\", "/"))
  if parts.is_absolute() or os.path.normpath(parts).split(os.sep)[0] == "..":
    raise ValueError(
      f"{name!r} leads out of {folder}. File names must be relative to that folder and "
      "stay in it; correct them."
    )
  return folder / parts


def by_number(stem: str) -> list[tuple[bool, int, str]]:
  """A key that sorts names by the numbers in them: 9 before 10, padded or not."""
  return [
    (part.isdecimal(), int(part) if part.isdecimal() else 0, part)
    for part in re.split(r"(\d+)", stem)
  ]
