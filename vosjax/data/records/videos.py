"""Videos as TFDS records: what a builder writes and what training reads.

One record holds one video: the bytes of its picture files, untouched. Reading
decodes only the frames that are asked for, and needs no TensorFlow.
"""

import dataclasses
import functools
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import UInt8
from PIL import Image

from vosjax.data.codecs import images
from vosjax.data.codecs.label_codings import CODINGS
from vosjax.data.codecs.voc_boxes import Box, read_boxes


class EncodedFrame(NamedTuple):
  """A frame as stored: its name and the bytes of its files.

  Attributes:
    name: file name without suffix.
    frame: the picture.
    mask: the annotation; empty where the frame has none, or one for each object.
    boxes: PASCAL VOC's XML; empty where the set has no boxes.
  """

  name: str
  frame: bytes
  mask: bytes
  boxes: bytes = b""


def features() -> tfds.features.FeaturesDict:
  """The features of a record; the same for every data set of videos."""
  return tfds.features.FeaturesDict(
    {
      "name": tfds.features.Text(),
      "binary": tfds.features.Scalar(np.bool_),  # every id above 0 is object 1
      "coding": tfds.features.Text(),  # a key of CODINGS: how pixels mean objects
      "values": tfds.features.Sequence(tfds.features.Scalar(np.int64)),
      "objects": tfds.features.Text(),  # JSON: id -> what the set says of the object
      "attributes": tfds.features.Sequence(tfds.features.Text()),  # of the video
      # Annotations as bytes, not as Image: TFDS would turn palettes into colours.
      "frames": tfds.features.Dataset(
        {
          "name": tfds.features.Text(),
          "frame": tfds.features.Image(shape=(None, None, 3)),
          "mask": tfds.features.Text(),
          "boxes": tfds.features.Text(),
        }
      ),
      # Where each object has a file of its own: all of frame 0, all of frame 1, ...
      "layers": tfds.features.Sequence(tfds.features.Text()),
    }
  )


def record(
  name: str,
  frames: Iterable[EncodedFrame],
  *,
  binary: bool = False,
  coding: str = "ids",
  values: Sequence[int] = (),
  objects: Mapping[int, Mapping[str, Any]] | None = None,
  attributes: Sequence[str] = (),
  layers: Iterable[bytes] = (),
) -> dict[str, Any]:
  """The record of one video, for a builder; the arguments as in `PreparedVideo`."""
  if coding not in CODINGS:
    raise ValueError(f"coding: {coding!r} unknown; the known are {list(CODINGS)}.")
  return {
    "name": name,
    "binary": binary,
    "coding": coding,
    "values": list(values),
    "objects": json.dumps(objects or {}),
    "attributes": list(attributes),
    "layers": list(layers),
    "frames": [frame._asdict() for frame in frames],
  }


@dataclasses.dataclass(frozen=True)
class PreparedVideo:
  """One record; pictures are decoded when asked for.

  Attributes:
    name: of the video.
    frames: as stored, in temporal order.
    origin: folder of the data set, for error texts.
    binary: every id above 0 counts as object 1 (DAVIS 2016).
    coding: a key of `CODINGS`, how the annotation's pixels mean objects.
    values: pixel values of background, object 1, object 2, ..., for coding
      "values".
    objects: id -> what the data set says of the object, e.g. `category`, `seen`
      and `frames` of YouTube-VOS.
    attributes: what the data set says of the video, as DAVIS 2016 does.
    layers: where each object has a mask file of its own, those of all frames, frame
      by frame.
  """

  name: str
  frames: tuple[EncodedFrame, ...]
  origin: str
  binary: bool = False
  coding: str = "ids"
  values: tuple[int, ...] = ()
  objects: Mapping[int, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
  attributes: tuple[str, ...] = ()
  layers: tuple[bytes, ...] = ()

  @property
  def frame_names(self) -> tuple[str, ...]:
    """Names of the frames in the original data set."""
    return tuple(frame.name for frame in self.frames)

  @property
  def categories(self) -> dict[int, str]:
    """Category of each object that has one."""
    return {
      i: found["category"] for i, found in self.objects.items() if "category" in found
    }

  @property
  def seen(self) -> dict[int, bool]:
    """Whether each object's category occurs in training, where that is known."""
    return {i: found["seen"] for i, found in self.objects.items() if "seen" in found}

  def __len__(self) -> int:
    return len(self.frames)

  @property
  def size(self) -> tuple[int, int]:
    """(height, width) of the first frame, which all others should have."""
    return self._size(0)

  def picture(self, index: int) -> Image.Image:
    """RGB; ValueError if the stored bytes are no picture."""
    return images.decode_picture(self.frames[index].frame, self._where(index))

  def frame(self, index: int) -> UInt8[np.ndarray, "h w 3"]:
    """`picture` as an array."""
    return np.asarray(self.picture(index))

  def labels(self, index: int) -> UInt8[np.ndarray, "h w"] | None:
    """Object ids; ValueError if the stored bytes are no label map of the frame."""
    files = self.mask_files(index)
    if not files:
      return None
    labels = CODINGS[self.coding](files, self.values, self._where(index))
    size = self._size(index)
    if labels.shape != size:
      raise ValueError(
        f"{self._where(index)}: an annotation of {labels.shape} pixels (height, "
        f"width) of a frame of {size}. Frames and annotations must have one size."
      )
    return (labels > 0).view(np.uint8) if self.binary else labels

  def mask_files(self, index: int) -> list[bytes]:
    """The annotation files of one frame as stored; none if it is not annotated."""
    if not self.layers:
      return [self.frames[index].mask] if self.frames[index].mask else []
    count = len(self.layers) // len(self.frames)
    return list(self.layers[index * count : (index + 1) * count])

  @property
  def label_files(self) -> tuple[list[bytes] | None, ...]:
    """Those of all frames; None where a frame is not annotated, as in `FolderVideo`."""
    return tuple(self.mask_files(t) or None for t in range(len(self)))

  def boxes(self, index: int) -> list[Box]:
    """The boxes of one frame; ValueError if the stored bytes are no VOC XML."""
    xml = self.frames[index].boxes
    return read_boxes(xml, self._where(index)) if xml else []

  def _size(self, index: int) -> tuple[int, int]:
    return images.encoded_size(self.frames[index].frame, self._where(index))

  def _where(self, index: int) -> str:
    return f"{self.origin}: {self.name}/{self.frames[index].name}"


@dataclasses.dataclass(frozen=True)
class PreparedFolder:
  """A data set prepared by one of the builders in `datasets/`, as a source.

  Attributes:
    directory: the version folder that `datasets/build.py` wrote, e.g.
      `~/tensorflow_datasets/davis2017/semi_supervised_480p/1.0.0`.
    split: e.g. train, validation, or a slice such as `train[:10]`.

  Raises:
    ValueError: no such folder or split, or not one of our data sets.
  """

  directory: str
  split: str = "train"

  def __post_init__(self):
    if not (Path(self.directory).expanduser() / "dataset_info.json").is_file():
      raise ValueError(
        f"directory: no prepared data set in {self.directory} (no "
        "dataset_info.json there). Give the version folder that datasets/build.py "
        "wrote, e.g. ~/tensorflow_datasets/davis2017/CONFIG/1.0.0."
      )
    _ = self._records

  def __len__(self) -> int:
    return len(self._records)

  def __getitem__(self, index: int) -> PreparedVideo:
    if not 0 <= index < len(self):
      raise IndexError(f"video {index} of {len(self)} in {self.directory}")
    stored = self._records[index]
    columns = stored["frames"]
    objects = json.loads(stored["objects"])
    return PreparedVideo(
      name=stored["name"].decode(),
      origin=self.directory,
      frames=tuple(
        EncodedFrame(name.decode(), *files)
        for name, *files in zip(
          *(columns[field] for field in EncodedFrame._fields), strict=True
        )
      ),
      binary=bool(stored["binary"]),
      coding=stored["coding"].decode(),
      values=tuple(map(int, stored["values"])),
      objects={int(i): found for i, found in objects.items()},
      attributes=tuple(name.decode() for name in stored["attributes"]),
      layers=tuple(stored["layers"]),
    )

  def __getstate__(self):  # a worker opens the files itself
    return {"directory": self.directory, "split": self.split}

  @functools.cached_property
  def _records(self):
    builder = tfds.builder_from_directory(Path(self.directory).expanduser())
    if set(builder.info.features) != set(features()):
      raise ValueError(
        f"directory: {self.directory} holds {sorted(builder.info.features)}, no "
        "videos of ours. Build it with one of the builders in datasets/."
      )
    return builder.as_data_source(
      self.split, decoders={"frames": tfds.decode.SkipDecoding()}
    )
