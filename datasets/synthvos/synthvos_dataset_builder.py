"""SynthVOS: synthetic videos as records."""

import dataclasses
import io
from collections.abc import Iterator, Mapping

import tensorflow_datasets as tfds
from PIL import Image

from vosjax.data.prepared import EncodedFrame, features, record
from vosjax.data.sources import Source, Video
from vosjax.data.synthvos import SynthVos
from vosjax.viz.palette import palette

JPEG_QUALITY = 95


@dataclasses.dataclass(eq=False, kw_only=True)
class Procedural(tfds.core.BuilderConfig):
  """Videos rendered by `vosjax.data.synthvos`; nothing is downloaded.

  Attributes:
    size: rows and columns of a frame.
    length: frames of a video.
    num_videos: videos of each split; the splits have seeds 0, 1, ...
  """

  size: tuple[int, int] = (240, 432)
  length: int = 24
  num_videos: Mapping[str, int] = dataclasses.field(
    default_factory=lambda: {"train": 400, "validation": 40}
  )

  def open_splits(self) -> dict[str, Source]:
    """The source of every split."""
    return {
      split: SynthVos(seed, count, size=self.size, length=self.length)
      for seed, (split, count) in enumerate(self.num_videos.items())
    }


class Builder(tfds.core.GeneratorBasedBuilder):
  """Synthetic videos with 1 to 5 moving objects each, every frame annotated."""

  VERSION = tfds.core.Version("1.0.0")
  BUILDER_CONFIGS = [
    Procedural(name="procedural", description="rendered from a seed, 240x432"),
    Procedural(
      name="procedural_tiny",
      description="a few small videos, for trying things out",
      size=(96, 160),
      length=8,
      num_videos={"train": 4, "validation": 2},
    ),
  ]

  def _info(self) -> tfds.core.DatasetInfo:
    return self.dataset_info_from_configs(features=features())

  def _split_generators(self, dl_manager: tfds.download.DownloadManager):
    del dl_manager  # nothing to download
    return {
      split: self._generate_examples(source)
      for split, source in self.builder_config.open_splits().items()
    }

  def _generate_examples(self, source: Source) -> Iterator[tuple[str, dict]]:
    for index in range(len(source)):
      video = source[index]
      yield video.name, record(video.name, encode(video))


def encode(video: Video) -> Iterator[EncodedFrame]:
  """The frames of a video as JPEG and its labels as palette PNG."""
  for index, name in enumerate(video.frame_names):
    labels = Image.fromarray(video.labels(index))
    labels.putpalette(palette().tobytes())
    yield EncodedFrame(
      name,
      _bytes(Image.fromarray(video.frame(index)), "JPEG", quality=JPEG_QUALITY),
      _bytes(labels, "PNG"),
    )


def _bytes(picture: Image.Image, kind: str, **options: int) -> bytes:
  file = io.BytesIO()
  picture.save(file, kind, **options)
  return file.getvalue()
