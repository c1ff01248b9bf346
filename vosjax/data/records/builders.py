"""Builders that write records shard by shard, in parallel, and resume.

A shard is the unit of work. Each is written beside the data set under a name that
depends on the files that go into it, then put in place as a whole; so a build that was
interrupted finds what is finished, and never takes it for something else.
"""

import dataclasses
import hashlib
import pickle
import re
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from array_record.python.array_record_module import ArrayRecordWriter
from tensorflow_datasets.core import splits as tfds_splits
from tensorflow_datasets.core.dataset_builder import FileReaderBuilder
from tensorflow_datasets.core.example_serializer import ExampleSerializer

from vosjax.data.formats.davis import FolderVideo
from vosjax.data.records.videos import EncodedFrame, features, record

_MAX_LISTED = 20


@dataclasses.dataclass(frozen=True)
class Shard:
  """A part of a split: what is written, and where.

  Attributes:
    path: of the finished file.
    items: one a record; picklable, and any file of theirs is a `Path` in a field.
    encode: makes the record of an item; importable by name.
    features: of a record.
  """

  path: Path
  items: tuple[Any, ...]
  encode: Callable[[Any], dict[str, Any]]
  features: tfds.features.FeaturesDict


def write_shard(shard: Shard) -> int:
  """Writes a shard unless it is there; returns its number of records."""
  if not shard.path.is_file():
    unfinished = shard.path.with_name(f"{shard.path.name}.{uuid.uuid4().hex}")
    serializer = ExampleSerializer(shard.features.get_serialized_info())
    writer = ArrayRecordWriter(str(unfinished), "group_size:1")
    try:
      for item in shard.items:
        example = shard.features.encode_example(shard.encode(item))
        writer.write(serializer.serialize_example(example))
    finally:
      writer.close()
    unfinished.replace(shard.path)
  return len(shard.items)


class ShardedBuilder(FileReaderBuilder, skip_registration=True):
  """A builder whose shards are written independently of one another.

  A data set needs `VERSION`, `MANUAL_DOWNLOAD_INSTRUCTIONS`, `FEATURES`, `ENCODE` and
  `open_splits`; README.md and CITATIONS.bib beside it are its description.

  Attributes:
    HOMEPAGE: where the data set is described.
    LICENSE: its terms of use, in a line.
    FEATURES: makes the features of a record.
    ENCODE: makes the record of an item; importable by name.
    SHARD_BYTES: size of a shard, as far as the originals tell, or the items
      themselves by a field `num_bytes`.
    map_shards: `map`, or for an instance what does the same in parallel, in any order.
  """

  HOMEPAGE = ""
  LICENSE = ""
  FEATURES: Callable[[], tfds.features.FeaturesDict]
  ENCODE: Callable[[Any], dict[str, Any]]
  SHARD_BYTES = 128 << 20

  map_shards: Callable[[Callable[[Shard], int], Sequence[Shard]], Iterable[int]] = map

  def open_splits(self, root: Path) -> Mapping[str, Sequence[Any]]:
    """The items of every split in the unpacked original.

    Raises:
      ValueError: it is incomplete; names what is missing.
    """
    raise NotImplementedError

  def _info(self) -> tfds.core.DatasetInfo:
    return self.dataset_info_from_configs(
      features=type(self).FEATURES(),
      homepage=self.HOMEPAGE or None,
      license=self.LICENSE or None,
    )

  def _download_and_prepare(self, dl_manager, download_config=None) -> None:
    del download_config  # it shards by size, and we by items
    root = Path(dl_manager.manual_dir) if self.MANUAL_DOWNLOAD_INSTRUCTIONS else Path()
    folder = Path(self.data_path).parent / f"{self.version}.unfinished"
    splits = {
      name: self._shards(name, items, folder)
      for name, items in self.open_splits(root).items()
    }
    folder.mkdir(parents=True, exist_ok=True)
    for _ in self.map_shards(
      write_shard, [shard for shards in splits.values() for shard in shards]
    ):
      pass
    self.info.set_splits(
      tfds_splits.SplitDict(
        [self._take(name, shards) for name, shards in splits.items()]
      )
    )
    shutil.rmtree(folder)

  def _shards(self, split: str, items: Sequence[Any], folder: Path) -> list[Shard]:
    """Consecutive items by about `SHARD_BYTES`, with the name that they give a file."""
    encode, spec = type(self).ENCODE, self.info.features
    shards = []
    for part in _parts(items, self.SHARD_BYTES):
      key = hashlib.sha256(repr(spec).encode())
      for item in part:
        key.update(pickle.dumps(item))
        for path in paths(item):
          stat = path.stat()
          key.update(f"{path} {stat.st_size} {stat.st_mtime_ns}".encode())
      shards.append(
        Shard(
          folder / f"{split}-{len(shards):05}-{key.hexdigest()[:16]}",
          part,
          encode,
          spec,
        )
      )
    return shards

  def _take(self, split: str, shards: list[Shard]) -> tfds_splits.SplitInfo:
    """Moves finished shards into the data set."""
    template = self._get_filename_template(split)
    num_bytes = 0
    for index, shard in enumerate(shards):
      num_bytes += shard.path.stat().st_size
      shard.path.replace(
        template.sharded_filepath(shard_index=index, num_shards=len(shards))
      )
    return tfds_splits.SplitInfo(
      name=split,
      shard_lengths=[len(shard.items) for shard in shards],
      num_bytes=num_bytes,
      filename_template=template,
    )


def paths(item: Any) -> Iterator[Path]:
  """The files that an item names, in fields, sequences and mappings."""
  if isinstance(item, Path):
    yield item
  elif isinstance(item, Mapping):
    for value in item.values():
      yield from paths(value)
  elif isinstance(item, (tuple, list)):
    for value in item:
      yield from paths(value)
  elif dataclasses.is_dataclass(item):
    for field in dataclasses.fields(item):
      yield from paths(getattr(item, field.name))


def _parts(items: Sequence[Any], size: int) -> Iterator[tuple[Any, ...]]:
  part, so_far = [], 0
  for item in (items[i] for i in range(len(items))):
    part.append(item)
    so_far += getattr(item, "num_bytes", 0) or sum(
      path.stat().st_size for path in paths(item)
    )
    if so_far >= size:
      yield tuple(part)
      part, so_far = [], 0
  if part:
    yield tuple(part)


@dataclasses.dataclass(frozen=True)
class VideoFiles:
  """The files of one video, as they become a record.

  Attributes:
    name: of the video.
    frames: picture files in temporal order.
    masks: annotation file of each frame, None where it has none.
    boxes: PASCAL VOC's XML of each frame, or nothing.
    layers, binary, coding, values, objects, attributes: as in `PreparedVideo`.
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


class VideoBuilder(ShardedBuilder, skip_registration=True):
  """A builder that copies videos' files into records, one a video.

  A data set needs `VERSION`, `MANUAL_DOWNLOAD_INSTRUCTIONS` and `open_splits`, whose
  items are `VideoFiles`.
  """

  FEATURES = staticmethod(features)
  ENCODE = staticmethod(encode_video)


def from_folder(video: FolderVideo) -> VideoFiles:
  """The files of a video in DAVIS layout."""
  return VideoFiles(
    video.name, video.frame_files, video.label_files, binary=video.binary
  )


def gaps(video: VideoFiles) -> list[str]:
  """Frames that are missing among numbers of even steps, a line each."""
  names = video.frame_names
  if len(names) < 3 or not all(name.isdigit() for name in names):
    return []
  numbers = [int(name) for name in names]
  step = min(np.diff(numbers))
  absent = sorted(set(range(numbers[0], numbers[-1], step)) - set(numbers))
  return [f"{video.name}: no frame {str(n).zfill(len(names[0]))}" for n in absent]


def frame_number(name: str) -> int:
  """The number that ends a frame's name: 1 of `cars1_01.jpg`, `001_gt.pgm`.

  Raises:
    ValueError: the name has no number.
  """
  found = re.search(r"(\d+)$", Path(name).stem.removesuffix("_gt"))
  if found is None:
    raise ValueError(f"{name}: no frame number in the name of the file.")
  return int(found[1])


def refuse_incomplete(root: Path, problems: Sequence[str]) -> None:
  """ValueError that names what is missing in the data set at `root`, if anything."""
  if problems:
    more = len(problems) - _MAX_LISTED
    raise ValueError(
      f"{root}: incomplete: {'; '.join(problems[:_MAX_LISTED])}"
      f"{f'; and {more} more' if more > 0 else ''}. Download and unpack the data set "
      "again."
    )


def wrong_counts(
  found: Mapping[str, int], expected: Mapping[str, int], what: str
) -> list[str]:
  """A line for each part of a data set that has not as many `what` as it should."""
  return [
    f"{name}: {found.get(name, 0)} of {count} {what}"
    for name, count in expected.items()
    if found.get(name, 0) != count
  ]


def _content(path: Path | None) -> bytes:
  return path.read_bytes() if path else b""
