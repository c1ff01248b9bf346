"""Still pictures with annotations, each read as a video of one frame."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from vosjax.data.codecs import images
from vosjax.data.formats.davis import picture_files

MAX_LISTED = 20  # files that an error names
_THRESHOLD = 127  # of 255; a brighter pixel of a saliency mask is object


class Annotation(NamedTuple):
  """What the annotation files of one picture say.

  Attributes:
    labels: 0 = background, 255 = void, others = ids of the objects.
    classes: class of each id; empty where the set has no classes.
  """

  labels: UInt8[np.ndarray, "h w"]
  classes: dict[int, int]


Reader = Callable[[Mapping[str, bytes], str], Annotation | None]


@dataclasses.dataclass(frozen=True)
class Still:
  """One annotated picture: a video of a single frame.

  Attributes:
    name: of the picture.
    image: its file, or the bytes of that file.
    annotations: the same of each annotation, by what it shows.
    read: makes labels and classes of the annotations' bytes; None where the set
      keeps them to itself.
    origin: folder of the data set, for error texts.
  """

  name: str
  image: Path | bytes
  annotations: Mapping[str, Path | bytes] = dataclasses.field(hash=False)
  read: Reader
  origin: str

  @property
  def frame_names(self) -> tuple[str, ...]:
    """The name of the picture."""
    return (self.name,)

  def __len__(self) -> int:
    return 1

  def picture(self, index: int) -> Image.Image:
    """RGB of the only frame; ValueError if unreadable."""
    self._check(index)
    return self._picture

  def frame(self, index: int) -> UInt8[np.ndarray, "h w 3"]:
    """`picture` as an array."""
    return np.asarray(self.picture(index))

  def labels(self, index: int) -> UInt8[np.ndarray, "h w"] | None:
    """Object ids of the only frame; None if the picture is not annotated.

    Raises:
      ValueError: the annotation is unreadable or of another size than the picture.
    """
    self._check(index)
    return self._annotation.labels if self._annotation else None

  @property
  def classes(self) -> dict[int, int]:
    """Class of each object id; empty where there are none."""
    return self._annotation.classes if self._annotation else {}

  def read_annotation(self) -> Annotation | None:
    """Labels and classes without a look at the picture; nothing is kept.

    Raises:
      ValueError: the annotation is unreadable.
    """
    data = {kind: content(file) for kind, file in self.annotations.items()}
    return self.read(data, self._where)

  @functools.cached_property
  def _annotation(self) -> Annotation | None:
    annotation = self.read_annotation()
    if annotation is None:
      return None
    (h, w), (width, height) = annotation.labels.shape, self._picture.size
    if (h, w) != (height, width):
      raise ValueError(
        f"{self._where}: an annotation of {h}x{w} pixels (height x width) of a "
        f"picture of {height}x{width}. Unpack the data set again."
      )
    return annotation

  @functools.cached_property
  def _picture(self) -> Image.Image:
    return images.decode_picture(content(self.image), self._where)

  @property
  def _where(self) -> str:
    return f"{self.origin}: {self.name}"

  def _check(self, index: int) -> None:
    if index != 0:
      raise IndexError(f"frame {index} of {self._where}, which is a still")


@dataclasses.dataclass(frozen=True)
class StillSource:
  """Some stills as a source; what one of them decodes lives as long as its user.

  A part of a set is `StillSource(whole.stills[:96])`.
  """

  stills: tuple[Still, ...]

  def __len__(self) -> int:
    return len(self.stills)

  def __getitem__(self, index: int) -> Still:
    return dataclasses.replace(self.stills[index])


@dataclasses.dataclass(frozen=True)
class StillsFolder(StillSource):
  """Pictures and binary masks paired by file name: MSRA10K, DUT-OMRON and the like.

  A pixel brighter than 127 of 255 is object 1. Pictures are JPEG files, or PNG
  where the folder has no JPEG; masks are PNG files, and may lie beside the pictures.

  Attributes:
    images: folder of the pictures.
    masks: folder of the masks.

  Raises:
    ValueError: no such folder, or pictures without mask or masks without picture;
      names them.
  """

  images: str
  masks: str
  stills: tuple[Still, ...] = dataclasses.field(init=False, repr=False, compare=False)

  def __post_init__(self):
    pictures = files(self.images, "images", ".jpg", ".jpeg")
    masks = files(self.masks, "masks", ".png")
    if not pictures and not Path(self.images).samefile(self.masks):
      pictures = files(self.images, "images", ".png")
    missing = [f"{self.masks}/{stem}.png" for stem in pictures if stem not in masks]
    missing += [f"{self.images}/{stem}.jpg" for stem in masks if stem not in pictures]
    refuse_missing(self.images, missing)
    if not pictures:
      raise ValueError(f"images: no .jpg or .png files in {self.images}.")
    object.__setattr__(
      self,
      "stills",
      tuple(
        Still(stem, path, {"mask": masks[stem]}, read_saliency, self.images)
        for stem, path in pictures.items()
      ),
    )


def read_saliency(annotations: Mapping[str, bytes], name: str) -> Annotation:
  """Object 1 where the `mask` is brighter than half."""
  grey = np.asarray(images.open_picture(annotations["mask"], name).convert("L"))
  return Annotation((grey > _THRESHOLD).view(np.uint8), {})


def locate(
  root: Path,
  name: str,
  image: Path,
  annotations: Mapping[str, Path],
  read: Reader,
  missing: list[str],
) -> Still:
  """The still of these files; adds to `missing` those that are not there."""
  missing += [
    str(path.relative_to(root))
    for path in (image, *annotations.values())
    if not path.is_file()
  ]
  return Still(name, image, annotations, read, str(root))


def content(file: Path | bytes) -> bytes:
  """The bytes of a file, or those given."""
  return file.read_bytes() if isinstance(file, Path) else file


def files(folder: str | Path, argument: str, *suffixes: str) -> dict[str, Path]:
  """Stem -> path of the folder's files with these suffixes, in order of the names.

  Raises:
    ValueError: no such folder; says which argument gave it.
  """
  if not Path(folder).is_dir():
    raise ValueError(f"{argument}: no folder {folder}. Unpack the data set there.")
  return picture_files(Path(folder), suffixes)


def refuse_missing(root: str | Path, missing: list[str]) -> None:
  """ValueError that names missing files of the data set at `root`, if any."""
  if missing:
    more = len(missing) - MAX_LISTED
    raise ValueError(
      f"{root}: {len(missing)} files are missing: {', '.join(missing[:MAX_LISTED])}"
      f"{f' and {more} more' if more > 0 else ''}. Unpack the data set again."
    )
