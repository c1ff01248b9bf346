"""Stills as TFDS records: what a builder writes and what training reads.

One record holds one picture and its annotations: the bytes of their files,
untouched. Neither side needs TensorFlow.
"""

import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from vosjax.data.formats import cityscapes, cvppp, voc
from vosjax.data.formats.stills import (
  Reader,
  Still,
  StillSource,
  content,
  read_saliency,
)
from vosjax.data.records.builders import ShardedBuilder, refuse_incomplete, wrong_counts

# What the annotations of a record say, by the name of their layout.
READERS: Mapping[str, Reader] = {
  "saliency": read_saliency,
  "voc": voc.read_instances,
  "sbd": voc.read_sbd,
  "cvppp": cvppp.read_leaves,
  "cityscapes": cityscapes.read_instances,
}
_COMMON = {"name", "layout", "image"}


def label_map(dtype: type[np.generic] = np.uint8) -> tfds.features.Image:
  """The feature of an annotation that is a PNG file of one channel."""
  return tfds.features.Image(shape=(None, None, 1), dtype=dtype, encoding_format="png")


def encode_still(still: Still) -> dict[str, Any]:
  """The record of a still."""
  layouts = {reader: layout for layout, reader in READERS.items()}
  return {
    "name": still.name,
    "layout": layouts[still.read],
    "image": content(still.image),
    **{kind: content(file) for kind, file in still.annotations.items()},
  }


@dataclasses.dataclass(frozen=True)
class PreparedStills:
  """A set of stills prepared by one of the builders in `datasets/`, as a source.

  Attributes:
    directory: the version folder that the builder wrote, e.g.
      `~/tensorflow_datasets/msra10k/1.0.0`.
    split: e.g. train, or a slice such as `train[:10]`.

  Raises:
    ValueError: no such folder or split, or not one of our sets of stills.
  """

  directory: str
  split: str = "train"

  def __post_init__(self):
    if not (Path(self.directory).expanduser() / "dataset_info.json").is_file():
      raise ValueError(
        f"directory: no prepared data set in {self.directory} (no "
        "dataset_info.json there). Give the version folder that datasets/build.py "
        "wrote, e.g. ~/tensorflow_datasets/msra10k/1.0.0."
      )
    _ = self._records

  def __len__(self) -> int:
    return len(self._records)

  def __getitem__(self, index: int) -> Still:
    if not 0 <= index < len(self):
      raise IndexError(f"still {index} of {len(self)} in {self.directory}")
    stored = self._records[index]
    return Still(
      name=stored["name"].decode(),
      image=stored["image"],
      annotations={
        kind: stored[kind] for kind in sorted(set(stored) - _COMMON) if stored[kind]
      },
      read=READERS[stored["layout"].decode()],
      origin=self.directory,
    )

  def __getstate__(self):  # a worker opens the files itself
    return {"directory": self.directory, "split": self.split}

  @functools.cached_property
  def _records(self):
    builder = tfds.builder_from_directory(Path(self.directory).expanduser())
    features = builder.info.features
    if not set(features) > _COMMON:
      raise ValueError(
        f"directory: {self.directory} holds {sorted(features)}, no stills of ours. "
        "Build it with one of the builders in datasets/."
      )
    skipped = {
      name: tfds.decode.SkipDecoding()
      for name, feature in features.items()
      if isinstance(feature, tfds.features.Image)
    }
    return builder.as_data_source(self.split, decoders=skipped)


class StillBuilder(ShardedBuilder, skip_registration=True):
  """A builder that copies pictures and their annotations into records, one a picture.

  A data set needs `VERSION`, `MANUAL_DOWNLOAD_INSTRUCTIONS`, `open_sources` and the
  following.

  Attributes:
    ANNOTATIONS: feature of each annotation; one that a picture lacks is empty.
    NUM_STILLS: pictures of each split; another count is an incomplete download.
  """

  ENCODE = staticmethod(encode_still)
  ANNOTATIONS: Mapping[str, tfds.features.FeatureConnector]
  NUM_STILLS: Mapping[str, int]

  def open_sources(self, root: Path) -> Mapping[str, StillSource]:
    """The stills of every split below the unpacked original."""
    raise NotImplementedError

  def open_splits(self, root: Path) -> dict[str, list[Still]]:
    """The stills with all `ANNOTATIONS`, those that they lack empty."""
    sources = self.open_sources(root)
    found = {split: len(source) for split, source in sources.items()}
    refuse_incomplete(root, wrong_counts(found, self.NUM_STILLS, "pictures"))
    return {
      split: [
        dataclasses.replace(
          still,
          annotations={
            kind: still.annotations.get(kind, b"") for kind in self.ANNOTATIONS
          },
        )
        for still in source
      ]
      for split, source in sources.items()
    }

  @classmethod
  def FEATURES(cls) -> tfds.features.FeaturesDict:
    """The features of a record."""
    return tfds.features.FeaturesDict(
      {
        "name": tfds.features.Text(),
        "layout": tfds.features.Text(),
        "image": tfds.features.Image(shape=(None, None, 3)),
        **cls.ANNOTATIONS,
      }
    )
