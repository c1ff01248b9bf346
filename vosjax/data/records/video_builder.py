"""Builders of video records: the files of a video become one record."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vosjax.data.formats.folders import FolderVideo
from vosjax.data.records.builders import ShardedBuilder
from vosjax.data.records.videos import EncodedFrame, record, record_features


@dataclasses.dataclass(frozen=True)
class VideoFiles:
  """The files of one video, from which a record is made.

  Attributes:
    name: of the video.
    frames: image files in temporal order.
    masks: annotation file of each frame, None where there is none.
    boxes: PASCAL VOC's XML of each frame, or empty.
    layers, binary, coding, values, objects, attributes: see `PreparedVideo`.
  """

  name: str
  frames: tuple[Path, ...]
  masks: tuple[Path | None, ...]
  boxes: tuple[Path | None, ...] = ()
  layers: tuple[Path, ...] = ()
  binary: bool = False
  coding: str = "ids"
  values: tuple[int, ...] = ()
  objects: Mapping[int, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
  attributes: tuple[str, ...] = ()

  @classmethod
  def from_folder(cls, video: FolderVideo) -> "VideoFiles":
    """The files of a video in DAVIS layout."""
    return cls(video.name, video.frame_files, video.label_files, binary=video.binary)

  @property
  def frame_names(self) -> tuple[str, ...]:
    """File names without suffix."""
    return tuple(path.stem for path in self.frames)


def encode_video(video: VideoFiles) -> dict[str, Any]:
  """The record of a video."""
  boxes = video.boxes or (None,) * len(video.frames)
  frames = [
    EncodedFrame(frame.stem, frame.read_bytes(), _content(mask), _content(xml))
    for frame, mask, xml in zip(video.frames, video.masks, boxes, strict=True)
  ]
  return record(
    video.name,
    frames,
    binary=video.binary,
    coding=video.coding,
    values=video.values,
    objects=video.objects,
    attributes=video.attributes,
    layers=[path.read_bytes() for path in video.layers],
  )


class VideoBuilder(ShardedBuilder, skip_registration=True):  # type: ignore[call-arg]  # see ShardedBuilder
  """A builder that copies the files of videos into records, one per video.

  A dataset defines `VERSION`, `MANUAL_DOWNLOAD_INSTRUCTIONS` and `open_splits`, whose
  items are `VideoFiles`.
  """

  FEATURES = staticmethod(record_features)
  ENCODE = staticmethod(encode_video)


def _content(path: Path | None) -> bytes:
  return path.read_bytes() if path else b""
