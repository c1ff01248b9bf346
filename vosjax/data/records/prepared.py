"""A folder of TFDS records, as one of the builders in `datasets/` wrote it."""

import abc
import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from vosjax.data.video import Source


@dataclasses.dataclass(frozen=True)
class PreparedSource(Source):
  """A source of records; subclasses read one kind of them.

  Attributes:
    directory: the version folder that the builder wrote, e.g.
      `~/tensorflow_datasets/davis2017/semi_supervised_480p/1.0.0`.
    split: e.g. train, validation, or a slice such as `train[:10]`.

  Raises:
    ValueError: the folder or split does not exist, or the records are of another kind.
  """

  directory: str
  split: str = "train"

  def __post_init__(self):
    if not (Path(self.directory).expanduser() / "dataset_info.json").is_file():
      raise ValueError(
        f"directory: no prepared dataset in {self.directory} (no dataset_info.json "
        "there). Give the version folder that datasets/build.py wrote, e.g. "
        "~/tensorflow_datasets/davis2017/CONFIG/1.0.0."
      )
    _ = self._records

  def __len__(self) -> int:
    return len(self._records)

  @property
  def origin(self) -> str:
    return self.directory

  def __getstate__(self):  # a worker process opens the files itself
    return {"directory": self.directory, "split": self.split}

  @functools.cached_property
  def _records(self) -> Sequence[dict[str, Any]]:
    builder = tfds.builder_from_directory(Path(self.directory).expanduser())
    return builder.as_data_source(
      self.split, decoders=self._decoders(builder.info.features)
    )

  def _record(self, index: int) -> dict[str, Any]:
    if not 0 <= index < len(self):
      raise IndexError(f"record {index} of {len(self)} in {self.directory}")
    return self._records[index]

  @abc.abstractmethod
  def _decoders(self, features: tfds.features.FeaturesDict) -> dict[str, Any]:
    """Decoders that leave images encoded.

    Raises:
      ValueError: these are not the features of this kind of records.
    """
