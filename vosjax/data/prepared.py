"""Videos as TFDS records: what a builder writes and what training reads.

One record holds one video: the bytes of its picture files, untouched. Reading
decodes only the frames that are asked for, and needs no TensorFlow.
"""

import dataclasses
import functools
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import UInt8

from vosjax.data import images
from vosjax.data.sources import Source


class EncodedFrame(NamedTuple):
  """A frame as stored: file name without suffix, picture bytes, label map bytes.

  `mask` is empty where the frame has no annotation.
  """

  name: str
  frame: bytes
  mask: bytes


def features() -> tfds.features.FeaturesDict:
  """The features of a record; the same for every data set."""
  return tfds.features.FeaturesDict({
      "name": tfds.features.Text(),
      "binary": tfds.features.Scalar(np.bool_),  # every id above 0 is object 1
      "frames": tfds.features.Dataset({
          "name": tfds.features.Text(),
          "frame": tfds.features.Image(shape=(None, None, 3)),
          "mask": tfds.features.Image(shape=(None, None, 1), encoding_format="png"),
      }),
  })


def record(name: str, frames: Iterable[EncodedFrame], *,
           binary: bool = False) -> dict[str, Any]:
  """The record of one video, for a builder's `_generate_examples`."""
  return {"name": name, "binary": binary,
          "frames": [frame._asdict() for frame in frames]}


@dataclasses.dataclass(frozen=True)
class PreparedVideo:
  """One record; pictures are decoded when asked for.

  Attributes:
    name: of the video.
    frames: as stored, in temporal order.
    binary: every id above 0 counts as object 1 (DAVIS 2016).
    origin: folder of the data set, for error texts.
  """

  name: str
  frames: tuple[EncodedFrame, ...]
  binary: bool
  origin: str

  @property
  def frame_names(self) -> tuple[str, ...]:
    """Names of the frames in the original data set."""
    return tuple(frame.name for frame in self.frames)

  def __len__(self) -> int:
    return len(self.frames)

  def frame(self, index: int) -> UInt8[np.ndarray, "h w 3"]:
    """RGB; ValueError if the stored bytes are no picture."""
    return images.decode_image(self.frames[index].frame, self._where(index))

  def labels(self, index: int) -> UInt8[np.ndarray, "h w"] | None:
    """Object ids; ValueError if the stored bytes are no label map."""
    if not self.frames[index].mask:
      return None
    labels = images.decode_labels(self.frames[index].mask, self._where(index))
    return (labels > 0).view(np.uint8) if self.binary else labels

  def _where(self, index: int) -> str:
    return f"{self.origin}: {self.name}/{self.frames[index].name}"


@dataclasses.dataclass(frozen=True)
class PreparedFolder:
  """A data set prepared by one of the builders in `datasets/`, as a source.

  Attributes:
    directory: the version folder that `tfds build` wrote, e.g.
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
          "dataset_info.json there). Give the version folder that `tfds build` "
          "wrote, e.g. ~/tensorflow_datasets/davis2017/CONFIG/1.0.0.")
    _ = self._records

  def __len__(self) -> int:
    return len(self._records)

  def __getitem__(self, index: int) -> PreparedVideo:
    if not 0 <= index < len(self):
      raise IndexError(f"video {index} of {len(self)} in {self.directory}")
    stored = self._records[index]
    columns = stored["frames"]
    return PreparedVideo(
        name=stored["name"].decode(), binary=bool(stored["binary"]),
        origin=self.directory,
        frames=tuple(
            EncodedFrame(name.decode(), frame, mask) for name, frame, mask in zip(
                columns["name"], columns["frame"], columns["mask"], strict=True)))

  def __getstate__(self):  # a worker opens the files itself
    return {"directory": self.directory, "split": self.split}

  @functools.cached_property
  def _records(self):
    builder = tfds.builder_from_directory(Path(self.directory).expanduser())
    if set(builder.info.features) != {"name", "binary", "frames"}:
      raise ValueError(
          f"directory: {self.directory} holds {sorted(builder.info.features)}, no "
          "videos of ours. Build it with one of the builders in datasets/.")
    return builder.as_data_source(
        self.split, decoders={"frames": tfds.decode.SkipDecoding()})


class VideoBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
  """A builder that copies folders of frames and label maps into records.

  A data set needs `VERSION`, `MANUAL_DOWNLOAD_INSTRUCTIONS`, `NUM_VIDEOS` and
  `open_splits`; run `tfds build --file_format=array_record --manual_dir=...`.

  Attributes:
    NUM_VIDEOS: videos of each split; another count is an incomplete download.
  """

  NUM_VIDEOS: Mapping[str, int]

  def open_splits(self, root: Path) -> Mapping[str, Source]:
    """The `DavisFolder`, or another source of `FolderVideo`s, of every split."""
    raise NotImplementedError

  def _info(self) -> tfds.core.DatasetInfo:
    return self.dataset_info_from_configs(features=features())

  def _split_generators(self, dl_manager: tfds.download.DownloadManager):
    splits = self.open_splits(Path(dl_manager.manual_dir))
    wrong = [f"{split}: {len(source)} of {self.NUM_VIDEOS[split]} videos"
             for split, source in splits.items()
             if len(source) != self.NUM_VIDEOS[split]]
    wrong += [f"{video.name}: no frame {gap}" for source in splits.values()
              for video in source for gap in _gaps(video.frame_names)]
    if wrong:
      raise ValueError(
          f"{dl_manager.manual_dir}: incomplete: {'; '.join(wrong[:20])}. Download "
          "and unpack the data set again.")
    return {split: self._generate_examples(source)
            for split, source in splits.items()}

  def _generate_examples(self, source: Source) -> Iterator[tuple[str, dict]]:
    for video in source:
      files = zip(video.frame_names, video.frame_files, video.label_files)
      frames = [
          EncodedFrame(name, frame.read_bytes(), mask.read_bytes() if mask else b"")
          for name, frame, mask in files]
      yield video.name, record(video.name, frames, binary=video.binary)


def _gaps(names: tuple[str, ...]) -> list[str]:
  """Numbers that a numbered sequence of even steps leaves out."""
  if len(names) < 3 or not all(name.isdigit() for name in names):
    return []
  numbers = [int(name) for name in names]
  step = min(np.diff(numbers))
  return [str(n).zfill(len(names[0]))
          for n in sorted(set(range(numbers[0], numbers[-1], step)) - set(numbers))]
