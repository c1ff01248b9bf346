"""Still images with annotations, each read as a video of one frame."""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from vosjax.data.codecs import images
from vosjax.data.formats.folders import first_few, image_files
from vosjax.data.video import Source, Video

_THRESHOLD = 127  # of 255; brighter pixels of a saliency mask are object


class Annotation(NamedTuple):
  """The decoded annotation of one image.

  Attributes:
    labels: 0 = background, 255 = void, others = object ids.
    classes: class of each object id; empty where the dataset has no classes.
  """

  labels: UInt8[np.ndarray, "h w"]
  classes: dict[int, int]


Reader = Callable[[Mapping[str, bytes], str], Annotation | None]


@dataclasses.dataclass(frozen=True)
class Still(Video):
  """One annotated image: a video of a single frame.

  Attributes:
    name: of the image.
    image: its file, or the bytes of that file.
    annotations: the file, or its bytes, of each kind of annotation.
    read: decodes the bytes of the annotations; returns None where the dataset does not
      publish them.
    origin: folder of the dataset, for error messages.
  """

  name: str
  image: Path | bytes
  annotations: Mapping[str, Path | bytes] = dataclasses.field(hash=False)
  read: Reader
  origin: str

  @functools.cached_property
  def frame_names(self) -> tuple[str, ...]:
    """The name of the image."""
    return (self.name,)

  def __len__(self) -> int:
    return 1

  def frame(self, index: int) -> UInt8[np.ndarray, "h w 3"]:
    """RGB of the only frame; ValueError if unreadable."""
    self._check(index)
    return self._frame

  def labels(self, index: int) -> UInt8[np.ndarray, "h w"] | None:
    """Object ids of the only frame; None if the image is not annotated.

    Raises:
      ValueError: the annotation is unreadable or differs in size from the image.
    """
    self._check(index)
    return self._annotation.labels if self._annotation else None

  @property
  def classes(self) -> Mapping[int, int]:
    return self._annotation.classes if self._annotation else {}

  def read_annotation(self) -> Annotation | None:
    """Labels and classes, without decoding the image or caching anything.

    Raises:
      ValueError: the annotation is unreadable.
    """
    data = {kind: read_bytes(file) for kind, file in self.annotations.items()}
    return self.read(data, self._where)

  @functools.cached_property
  def _annotation(self) -> Annotation | None:
    annotation = self.read_annotation()
    if annotation is None:
      return None
    (h, w), (height, width) = annotation.labels.shape, self._frame.shape[:2]
    if (h, w) != (height, width):
      raise ValueError(
        f"{self._where}: the annotation has {h}x{w} pixels (height x width), but the "
        f"image has {height}x{width}. Unpack the dataset again."
      )
    return annotation

  @functools.cached_property
  def _frame(self) -> UInt8[np.ndarray, "h w 3"]:
    return images.decode_image(read_bytes(self.image), self._where)

  @property
  def _where(self) -> str:
    return f"{self.origin}: {self.name}"

  def _check(self, index: int) -> None:
    if index != 0:
      raise IndexError(f"frame {index} of {self._where}, which is a single image")


@dataclasses.dataclass(frozen=True)
class StillSource(Source):
  """Stills as a source of one-frame videos.

  Each access makes a new `Still`, so that decoded arrays are freed with it. A part of a
  dataset is `StillSource(source.stills[:96])`.

  Attributes:
    stills: in order.
  """

  stills: tuple[Still, ...]

  def __len__(self) -> int:
    return len(self.stills)

  def __getitem__(self, index: int) -> Still:
    return dataclasses.replace(self.stills[index])

  @property
  def origin(self) -> str | None:
    return self.stills[0].origin if self.stills else None


@dataclasses.dataclass(frozen=True)
class StillsFolder(StillSource):
  """Images and binary masks paired by file name: MSRA10K, DUT-OMRON and the like.

  Mask pixels brighter than 127 of 255 are object 1. Images are JPEG files, or PNG if
  the folder has no JPEG; masks are PNG files, and may be in the same folder.

  Attributes:
    images: folder of the images.
    masks: folder of the masks.

  Raises:
    ValueError: there is no such folder, or images lack masks or vice versa; names
      them.
  """

  images: str
  masks: str
  stills: tuple[Still, ...] = dataclasses.field(init=False, repr=False, compare=False)

  def __post_init__(self):
    files = list_files(self.images, "images", ".jpg", ".jpeg")
    masks = list_files(self.masks, "masks", ".png")
    if not files and not Path(self.images).samefile(self.masks):
      files = list_files(self.images, "images", ".png")
    missing = [f"{self.masks}/{stem}.png" for stem in files if stem not in masks]
    missing += [f"{self.images}/{stem}.jpg" for stem in masks if stem not in files]
    refuse_missing(self.images, missing)
    if not files:
      raise ValueError(f"images: no .jpg or .png files in {self.images}.")
    object.__setattr__(
      self,
      "stills",
      tuple(
        Still(stem, path, {"mask": masks[stem]}, read_saliency, self.images)
        for stem, path in files.items()
      ),
    )


def read_saliency(annotations: Mapping[str, bytes], name: str) -> Annotation:
  """Object 1 where the `mask` is brighter than half."""
  gray = np.asarray(images.open_image(annotations["mask"], name).convert("L"))
  return Annotation((gray > _THRESHOLD).view(np.uint8), {})


def find_stills(
  root: Path,
  files: Iterable[tuple[str, Path, Mapping[str, Path]]],
  read: Reader,
) -> tuple[Still, ...]:
  """The stills of a dataset in separate files.

  Args:
    root: of the dataset.
    files: name, image and annotations of each still.
    read: see `Still`.

  Raises:
    ValueError: files are missing; names them.
  """
  stills = tuple(Still(*entry, read, str(root)) for entry in files)
  refuse_missing(
    root,
    [
      str(path.relative_to(root))
      for still in stills
      for path in (still.image, *still.annotations.values())
      if isinstance(path, Path) and not path.is_file()
    ],
  )
  return stills


def read_bytes(file: Path | bytes) -> bytes:
  """The content of a file, or `file` itself if it is the content already."""
  return file.read_bytes() if isinstance(file, Path) else file


def list_files(folder: str | Path, argument: str, *suffixes: str) -> dict[str, Path]:
  """Path of each file with one of the suffixes by its stem, sorted by name.

  Raises:
    ValueError: there is no such folder; names the argument that it came from.
  """
  if not Path(folder).is_dir():
    raise ValueError(f"{argument}: no folder {folder}. Unpack the dataset there.")
  return image_files(Path(folder), suffixes)


def refuse_missing(root: str | Path, missing: list[str]) -> None:
  """Raises a ValueError that names the missing files of the dataset at `root`."""
  if missing:
    raise ValueError(
      f"{root}: {len(missing)} files are missing: {first_few(missing)}. Unpack the "
      "dataset again."
    )
