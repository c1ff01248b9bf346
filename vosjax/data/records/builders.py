"""Builders that write records shard by shard, in parallel, and resume.

A shard is the unit of work. It is written next to the dataset under a name that depends
on the files in it, and moved into the dataset when all shards are complete. So an
interrupted build finds its finished shards, and never uses those of other files.
"""

import dataclasses
import hashlib
import pickle
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds
from array_record.python.array_record_module import ArrayRecordWriter
from tensorflow_datasets.core import splits as tfds_splits
from tensorflow_datasets.core.dataset_builder import FileReaderBuilder
from tensorflow_datasets.core.example_serializer import ExampleSerializer

from vosjax import files


@dataclasses.dataclass(frozen=True)
class Shard:
  """A part of a split: what is written, and where.

  Attributes:
    path: of the complete file.
    items: one per record; picklable, with their files as `Path` in fields.
    encode: makes the record of an item; importable by name.
    features: of a record.
  """

  path: Path
  items: tuple[Any, ...]
  encode: Callable[[Any], dict[str, Any]]
  features: tfds.features.FeaturesDict


def write_shard(shard: Shard) -> int:
  """Writes a shard unless it exists; returns its number of records.

  Raises:
    OSError: a file cannot be read or written.
  """
  if not shard.path.is_file():
    unfinished = shard.path.with_name(f"{shard.path.name}.{uuid.uuid4().hex}")
    try:
      _write_records(shard, unfinished)
      unfinished.replace(shard.path)
    except RuntimeError as error:  # of array_record, as on a full disk
      raise OSError(f"{shard.path.parent}: {error}") from error
    finally:
      unfinished.unlink(missing_ok=True)
  return len(shard.items)


def _write_records(shard: Shard, path: Path) -> None:
  serializer = ExampleSerializer(shard.features.get_serialized_info())
  writer = ArrayRecordWriter(str(path), "group_size:1")
  try:
    for item in shard.items:
      example = shard.features.encode_example(shard.encode(item))
      # The same bytes in every build; serialize_example orders fields at random.
      record = serializer.get_tf_example(example)
      writer.write(record.SerializeToString(deterministic=True))
  finally:
    writer.close()


class ShardedBuilder(FileReaderBuilder, skip_registration=True):  # type: ignore[call-arg]  # TFDS is untyped
  """A builder whose shards are written independently of one another.

  A dataset defines `VERSION`, `MANUAL_DOWNLOAD_INSTRUCTIONS`, `FEATURES`, `ENCODE` and
  `open_splits`; README.md and CITATIONS.bib in its folder are its description.

  Attributes:
    HOMEPAGE: where the dataset is described.
    LICENSE: its terms of use, in one line.
    FEATURES: makes the features of a record.
    ENCODE: makes the record of an item; importable by name.
    SHARD_BYTES: approximate size of a shard, see `item_bytes`.
    map_shards: `map`, or a parallel replacement that may return results in any order.
  """

  HOMEPAGE = ""
  LICENSE = ""
  FEATURES: Callable[[], tfds.features.FeaturesDict]
  ENCODE: Callable[[Any], dict[str, Any]]
  SHARD_BYTES = 128 << 20

  map_shards: Callable[[Callable[[Shard], int], Sequence[Shard]], Iterable[int]] = map

  def open_splits(self, root: Path) -> Mapping[str, Sequence[Any]]:
    """The items of every split of the unpacked original.

    Raises:
      ValueError: the original is incomplete; names what is missing.
    """
    raise NotImplementedError

  def item_bytes(self, item: Any) -> int:
    """Approximate size of an item's record: that of its files."""
    return sum(path.stat().st_size for path in paths(item))

  def _info(self) -> tfds.core.DatasetInfo:
    return self.dataset_info_from_configs(
      features=type(self).FEATURES(),
      homepage=self.HOMEPAGE or None,
      license=self.LICENSE or None,
    )

  def _download_and_prepare(self, dl_manager, download_config=None) -> None:
    del download_config  # sets the number of shards, which here follows from the items
    root = Path(dl_manager.manual_dir) if self.MANUAL_DOWNLOAD_INSTRUCTIONS else Path()
    folder = Path(self.data_path).parent / f"{self.version}.unfinished"
    splits = {
      name: self._shards(name, items, folder)
      for name, items in self.open_splits(root).items()
    }
    with files.claimed(folder, str(folder)):
      for _ in self.map_shards(
        write_shard, [shard for shards in splits.values() for shard in shards]
      ):
        pass
      self.info.set_splits(
        tfds_splits.SplitDict(
          [self._finish(name, shards) for name, shards in splits.items()]
        )
      )
      shutil.rmtree(folder)

  def _shards(self, split: str, items: Sequence[Any], folder: Path) -> list[Shard]:
    """Consecutive items in shards of about `SHARD_BYTES`, named after their content."""
    encode, spec = type(self).ENCODE, self.info.features
    shards: list[Shard] = []
    for part in self._parts(items):
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

  def _parts(self, items: Sequence[Any]) -> Iterator[tuple[Any, ...]]:
    part, num_bytes = [], 0
    for item in items:
      part.append(item)
      num_bytes += self.item_bytes(item)
      if num_bytes >= self.SHARD_BYTES:
        yield tuple(part)
        part, num_bytes = [], 0
    if part:
      yield tuple(part)

  def _finish(self, split: str, shards: list[Shard]) -> tfds_splits.SplitInfo:
    """Moves complete shards into the dataset."""
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
  """All paths in an item, in its fields, sequences and mappings."""
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
