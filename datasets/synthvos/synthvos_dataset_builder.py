"""SynthVOS: synthetic videos as records."""

import dataclasses
import functools
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from vosjax.data.formats.stills import StillsFolder, StillSource
from vosjax.data.formats.voc import VocFolder
from vosjax.data.records.builders import ShardedBuilder
from vosjax.data.records.checks import refuse_incomplete, wrong_counts
from vosjax.data.records.videos import EncodedFrame, record, record_features
from vosjax.data.synthvos import SynthVos
from vosjax.data.synthvos.pasted import PastedVos
from vosjax.data.video import Source, Video
from vosjax.labels import palette

JPEG_QUALITY = 95
BYTES_PER_PIXEL = 0.3  # of a JPEG of this quality, approximately
HELD_OUT = 20  # every 20th object is for validation
INSTRUCTIONS = """
  Put or link two unpacked archives into one folder, and give that as --manual_dir:
  MSRA10K_Imgs_GT (with Imgs in it) from https://mmcheng.net/msra10k/, and VOC2012
  (with JPEGImages, SegmentationClass, SegmentationObject and ImageSets in it) from
  http://host.robots.ox.ac.uk/pascal/VOC/voc2012/.
  """


@dataclasses.dataclass(eq=False, kw_only=True)
class SynthVosConfig(tfds.core.BuilderConfig):
  """How the videos are made.

  Attributes:
    pasted: from objects of MSRA10K on images of VOC 2012, as in the paper; otherwise
      they are rendered from a seed, without any downloads.
    size: rows and columns of a frame.
    length: frames of a video.
    num_videos: videos of each split; the splits have seeds 0, 1, ...
  """

  pasted: bool = False
  size: tuple[int, int] = (240, 432)
  length: int = 24
  num_videos: Mapping[str, int] = dataclasses.field(
    default_factory=lambda: {"train": 400, "validation": 40}
  )


@dataclasses.dataclass(frozen=True)
class Split:
  """What `open_split` needs; small, because it is sent to other processes."""

  name: str
  seed: int
  num_videos: int
  size: tuple[int, int]
  length: int
  root: str | None  # of MSRA10K and VOC 2012, for pasted videos


@dataclasses.dataclass(frozen=True)
class Drawing:
  """One video that has not been rendered yet."""

  split: Split
  index: int


@functools.lru_cache(maxsize=2)
def open_split(split: Split) -> Source:
  """The videos of a split."""
  size, length = split.size, split.length
  if split.root is None:
    return SynthVos(split.seed, split.num_videos, size=size, length=length)
  objects, backgrounds = originals(split.root)
  held_out = split.name == "validation"
  chosen = (s for k, s in enumerate(objects.stills) if (k % HELD_OUT == 0) == held_out)
  return PastedVos(
    StillSource(tuple(chosen)),
    backgrounds[split.name],
    split.seed,
    split.num_videos,
    size=size,
    length=length,
  )


def originals(root: str) -> tuple[StillsFolder, dict[str, VocFolder]]:
  """All objects, and the backgrounds of each split."""
  folder = str(Path(root) / "MSRA10K_Imgs_GT/Imgs")
  voc = str(Path(root) / "VOC2012")
  return StillsFolder(folder, folder), {
    "train": VocFolder(voc, "train"),
    "validation": VocFolder(voc, "val"),
  }


def encode_drawing(drawing: Drawing) -> dict[str, Any]:
  """Renders a video and makes its record."""
  video = open_split(drawing.split)[drawing.index]
  return record(video.name, encode(video))


class Builder(ShardedBuilder):
  """Synthetic videos of 1 to 5 moving objects, with every frame annotated."""

  VERSION = tfds.core.Version("1.0.0")
  HOMEPAGE = "https://openaccess.thecvf.com/content_CVPR_2019/html/Johnander_A_Generative_Appearance_Model_for_End-To-End_Video_Object_Segmentation_CVPR_2019_paper.html"  # noqa: E501
  LICENSE = "that of vosjax; the terms of MSRA10K and VOC 2012 apply to pasted videos"
  SHARD_BYTES = 32 << 20
  FEATURES = staticmethod(record_features)
  ENCODE = staticmethod(encode_drawing)
  NUM_STILLS = {"objects": 10_000, "train": 1_464, "validation": 1_449}
  BUILDER_CONFIGS = [
    SynthVosConfig(name="procedural", description="rendered from a seed, 240x432"),
    SynthVosConfig(
      name="procedural_tiny",
      description="a few small videos, to try things out",
      size=(96, 160),
      length=8,
      num_videos={"train": 4, "validation": 2},
    ),
    SynthVosConfig(
      name="pasted",
      description="1 to 5 objects of MSRA10K moved over images of VOC 2012, 240x432",
      pasted=True,
      length=16,
      num_videos={"train": 5000, "validation": 100},
    ),
  ]

  @property
  def MANUAL_DOWNLOAD_INSTRUCTIONS(self) -> str | None:
    """How to get the images that pasted videos are made of."""
    return INSTRUCTIONS if self.builder_config.pasted else None

  def open_splits(self, root: Path) -> dict[str, list[Drawing]]:
    """The videos of every split, which are not rendered yet."""
    config = self.builder_config
    if config.pasted:
      objects, backgrounds = originals(str(root))
      counts = {"objects": len(objects)}
      counts |= {name: len(source) for name, source in backgrounds.items()}
      refuse_incomplete(root, wrong_counts(counts, self.NUM_STILLS, "images"))
    splits = (
      Split(
        name,
        seed,
        count,
        config.size,
        config.length,
        str(root) if config.pasted else None,
      )
      for seed, (name, count) in enumerate(config.num_videos.items())
    )
    return {
      split.name: [Drawing(split, index) for index in range(split.num_videos)]
      for split in splits
    }

  def item_bytes(self, item: Drawing) -> int:
    """An estimate from the number of pixels: there are no files yet."""
    h, w = item.split.size
    return int(item.split.length * h * w * BYTES_PER_PIXEL)


def encode(video: Video) -> Iterator[EncodedFrame]:
  """The frames of a video as JPEG and its labels as palette PNG."""
  for index, name in enumerate(video.frame_names):
    labels = Image.fromarray(np.asarray(video.labels(index)))
    labels.putpalette(palette().tobytes())
    yield EncodedFrame(
      name,
      _bytes(Image.fromarray(video.frame(index)), "JPEG", quality=JPEG_QUALITY),
      _bytes(labels, "PNG"),
    )


def _bytes(image: Image.Image, kind: str, **options: int) -> bytes:
  file = io.BytesIO()
  image.save(file, kind, **options)
  return file.getvalue()
