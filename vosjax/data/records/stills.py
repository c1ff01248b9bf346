"""Still images as TFDS records: what a builder writes and what training reads.

One record holds one image and its annotations, as the unchanged bytes of their files.
Neither side needs TensorFlow.
"""

import dataclasses
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
  read_bytes,
  read_saliency,
)
from vosjax.data.records.builders import ShardedBuilder
from vosjax.data.records.checks import refuse_incomplete, wrong_counts
from vosjax.data.records.prepared import PreparedSource

# Decoders of the annotations of a record, by the name stored in it.
READERS: Mapping[str, Reader] = {
  "saliency": read_saliency,
  "voc": voc.read_instances,
  "sbd": voc.read_sbd,
  "cvppp": cvppp.read_leaves,
  "cityscapes": cityscapes.read_instances,
}
_COMMON = {"name", "layout", "image"}


def label_map(dtype: type[np.generic] = np.uint8) -> tfds.features.Image:
  """The feature of an annotation that is a PNG file with one channel."""
  return tfds.features.Image(shape=(None, None, 1), dtype=dtype, encoding_format="png")


def encode_still(still: Still) -> dict[str, Any]:
  """The record of a still."""
  layouts = {reader: layout for layout, reader in READERS.items()}
  return {
    "name": still.name,
    "layout": layouts[still.read],
    "image": read_bytes(still.image),
    **{kind: read_bytes(file) for kind, file in still.annotations.items()},
  }


@dataclasses.dataclass(frozen=True)
class PreparedStills(PreparedSource):
  """Prepared still images as a source of one-frame videos."""

  def __getitem__(self, index: int) -> Still:
    stored = self._record(index)
    return Still(
      name=stored["name"].decode(),
      image=stored["image"],
      annotations={
        kind: stored[kind] for kind in sorted(set(stored) - _COMMON) if stored[kind]
      },
      read=READERS[stored["layout"].decode()],
      origin=self.directory,
    )

  def _decoders(self, features: tfds.features.FeaturesDict) -> dict[str, Any]:
    if not set(features) > _COMMON:
      raise ValueError(
        f"directory: {self.directory} contains records of {sorted(features)}, not of "
        "still images. Build it with one of the builders in datasets/."
      )
    return {
      name: tfds.decode.SkipDecoding()
      for name, feature in features.items()
      if isinstance(feature, tfds.features.Image)
    }


class StillBuilder(ShardedBuilder, skip_registration=True):  # type: ignore[call-arg]  # see ShardedBuilder
  """A builder that copies images and their annotations into records, one per image.

  A dataset defines `VERSION`, `MANUAL_DOWNLOAD_INSTRUCTIONS`, `open_sources` and the
  following.

  Attributes:
    ANNOTATIONS: feature of each annotation; an annotation that an image lacks is empty.
    NUM_STILLS: images of each split; another count means an incomplete download.
  """

  ENCODE = staticmethod(encode_still)
  ANNOTATIONS: Mapping[str, tfds.features.FeatureConnector]
  NUM_STILLS: Mapping[str, int]

  def open_sources(self, root: Path) -> Mapping[str, StillSource]:
    """The stills of every split of the unpacked original."""
    raise NotImplementedError

  def open_splits(self, root: Path) -> dict[str, list[Still]]:
    """The stills with all `ANNOTATIONS`, of which missing ones are empty."""
    sources = self.open_sources(root)
    counts = {split: len(source) for split, source in sources.items()}
    refuse_incomplete(root, wrong_counts(counts, self.NUM_STILLS, "images"))
    return {
      split: [
        dataclasses.replace(
          still,
          annotations={
            kind: still.annotations.get(kind, b"") for kind in self.ANNOTATIONS
          },
        )
        for still in source.stills
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
