"""Videos as TFDS records: what a builder writes and what training reads.

One record holds one video, as the unchanged bytes of its image files. Reading decodes
only the frames that are used, and needs no TensorFlow.
"""

import dataclasses
import functools
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import UInt8

from vosjax.data.codecs import images
from vosjax.data.codecs.label_codings import CODINGS
from vosjax.data.codecs.voc_boxes import Box, read_boxes
from vosjax.data.formats.folders import object_categories
from vosjax.data.records.prepared import PreparedSource
from vosjax.data.video import Video


class EncodedFrame(NamedTuple):
  """A frame as stored: its name and the bytes of its files.

  Attributes:
    name: file name without suffix.
    frame: the image.
    mask: the annotation; empty if there is none, or if each object has a file of its
      own.
    boxes: PASCAL VOC's XML; empty if the dataset has no boxes.
  """

  name: str
  frame: bytes
  mask: bytes
  boxes: bytes = b""


def record_features() -> tfds.features.FeaturesDict:
  """The features of a record, which are the same for all datasets of videos."""
  return tfds.features.FeaturesDict(
    {
      "name": tfds.features.Text(),
      "binary": tfds.features.Scalar(np.bool_),  # every id above 0 is object 1
      "coding": tfds.features.Text(),  # a key of CODINGS
      "values": tfds.features.Sequence(tfds.features.Scalar(np.int64)),
      "objects": tfds.features.Text(),  # JSON: metadata by object id
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
      # If each object has a file of its own: all of frame 0, all of frame 1, ...
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
  """The record of one video, for a builder; for the arguments see `PreparedVideo`."""
  if coding not in CODINGS:
    raise ValueError(f"coding: got {coding!r}; known: {list(CODINGS)}.")
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
class PreparedVideo(Video):
  """One record, whose images are decoded when they are used.

  Attributes:
    name: of the video.
    frames: as stored, in temporal order.
    origin: folder of the dataset, for error messages.
    binary: every id above 0 counts as object 1 (DAVIS 2016).
    coding: how pixels of the annotation encode objects, a key of `CODINGS`.
    values: for coding "values": pixel values of background, object 1, object 2, ...
    objects: metadata of each object by id, e.g. `category`, `seen` and `frames` of
      YouTube-VOS.
    attributes: of the video, e.g. OCC, occlusion, in DAVIS 2016.
    layers: if each object has a mask file of its own: these files, frame by frame.
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

  @functools.cached_property
  def frame_names(self) -> tuple[str, ...]:
    """Names of the frames in the original dataset."""
    return tuple(frame.name for frame in self.frames)

  @property
  def categories(self) -> Mapping[int, str]:
    return object_categories(self.objects)

  @property
  def seen(self) -> dict[int, bool]:
    """Whether the category of each object occurs in training, where that is known."""
    return {i: about["seen"] for i, about in self.objects.items() if "seen" in about}

  def __len__(self) -> int:
    return len(self.frames)

  @functools.cached_property
  def size(self) -> tuple[int, int]:
    """(height, width) from the header of the first frame."""
    return self._size(0)

  @functools.cached_property
  def annotated_frames(self) -> tuple[int, ...]:
    return tuple(t for t in range(len(self)) if self.mask_files(t))

  def frame(self, index: int) -> UInt8[np.ndarray, "h w 3"]:
    """RGB; ValueError if the stored bytes are not an image."""
    return images.decode_image(self.frames[index].frame, self._where(index))

  def labels(self, index: int) -> UInt8[np.ndarray, "h w"] | None:
    """Object ids; ValueError if the stored bytes are not a label map of the frame."""
    files = self.mask_files(index)
    if not files:
      return None
    labels = CODINGS[self.coding](files, self.values, self._where(index))
    size = self._size(index)
    if labels.shape != size:
      raise ValueError(
        f"{self._where(index)}: the annotation has {labels.shape} pixels (height, "
        f"width), but the frame has {size}. Frames and annotations must have the same "
        "size."
      )
    return (labels > 0).view(np.uint8) if self.binary else labels

  def mask_files(self, index: int) -> list[bytes]:
    """The annotation files of one frame as stored; empty if it is not annotated."""
    if not self.layers:
      return [self.frames[index].mask] if self.frames[index].mask else []
    count = len(self.layers) // len(self.frames)
    return list(self.layers[index * count : (index + 1) * count])

  @property
  def label_files(self) -> tuple[list[bytes] | None, ...]:
    """The annotation files of all frames, None where there are none."""
    return tuple(self.mask_files(t) or None for t in range(len(self)))

  def boxes(self, index: int) -> list[Box]:
    """The boxes of one frame; ValueError if the stored bytes are not VOC XML."""
    xml = self.frames[index].boxes
    return read_boxes(xml, self._where(index)) if xml else []

  def _size(self, index: int) -> tuple[int, int]:
    return images.encoded_size(self.frames[index].frame, self._where(index))

  def _where(self, index: int) -> str:
    return f"{self.origin}: {self.name}/{self.frames[index].name}"


@dataclasses.dataclass(frozen=True)
class PreparedFolder(PreparedSource):
  """Prepared videos as a source."""

  def __getitem__(self, index: int) -> PreparedVideo:
    stored = self._record(index)
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
      objects={int(i): about for i, about in objects.items()},
      attributes=tuple(name.decode() for name in stored["attributes"]),
      layers=tuple(stored["layers"]),
    )

  def _decoders(self, features: tfds.features.FeaturesDict) -> dict[str, Any]:
    if set(features) != set(record_features()):
      raise ValueError(
        f"directory: {self.directory} contains records of {sorted(features)}, not of "
        "videos. Build it with one of the builders in datasets/."
      )
    return {"frames": tfds.decode.SkipDecoding()}
