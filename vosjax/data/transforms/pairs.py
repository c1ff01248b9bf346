"""COSNet's samples, a frame with others of its video, and their augmentation.

A target, the frame to segment, is a `FrameSubset` of one frame of its video.

Source: the released COSNet (Lu et al., CVPR 2019), without its quirks, which
`vosjax.train.recipes.official.cosnet_pairs` reproduces.
"""

import dataclasses
from collections.abc import Callable, Sequence

import grain
import numpy as np
from jaxtyping import UInt8
from PIL import Image

from vosjax.data.video import Clip, Video
from vosjax.data.views import FrameSubset
from vosjax.labels import VOID

CROP = 0.9  # fraction of each side that is kept
SCALES = (0.7, 1.3)


@dataclasses.dataclass(frozen=True)
class AnyTarget(grain.transforms.RandomMap):
  """One frame of a video, each equally likely."""

  def random_map(self, video: Video, rng: np.random.Generator) -> FrameSubset:
    """The target."""
    return FrameSubset(video, (int(rng.integers(len(video))),))


@dataclasses.dataclass(frozen=True)
class AddReferences(grain.transforms.RandomMap):
  """The target and reference frames of its video, all objects merged into label 1.

  References are distinct where the video has enough frames; the only frame of a video
  is its own reference.

  Attributes:
    count: number of references; 0 returns the target alone.
  """

  count: int

  def random_map(self, target: FrameSubset, rng: np.random.Generator) -> Clip | None:
    """A clip of 1 + `count` frames, or None if one of them is not annotated."""
    video, (time,) = target.video, target.indices
    others = [t for t in range(len(video)) if t != time] or [time]
    drawn = rng.choice(others, self.count, replace=len(others) < self.count)
    clip = read_frames(video, (time, *drawn.tolist()))
    if clip is None:
      return None
    objects = (clip["labels"] != 0) & (clip["labels"] != VOID)
    return clip | {"labels": objects.view(np.uint8)}


@dataclasses.dataclass(frozen=True)
class Jitter:
  """The draws for one frame: corner of the crop, scale, and whether to mirror."""

  row: int
  column: int
  scale: float
  mirror: bool

  @classmethod
  def draw(cls, num_offsets: Sequence[int], rng: np.random.Generator) -> "Jitter":
    """Draws all four; the corner is among the first `num_offsets` rows and columns."""
    row, column = (int(rng.integers(n)) for n in num_offsets)
    return cls(row, column, rng.uniform(*SCALES), bool(rng.random() > 0.5))

  def crop(
    self, image: UInt8[np.ndarray, "h w *channels"]
  ) -> UInt8[np.ndarray, "a b *channels"]:
    """The part of the image that is kept."""
    h, w = image.shape[:2]
    rows = slice(self.row, self.row + int(CROP * h))
    return image[rows, self.column : self.column + int(CROP * w)]

  def scaled(self, size: tuple[int, ...]) -> tuple[int, int]:
    """Height and width of a crop of this size, after scaling."""
    height, width = (int(self.scale * side) for side in size)
    return height, width

  def finish(
    self,
    frame: UInt8[np.ndarray, "h w 3"],
    labels: UInt8[np.ndarray, "i j"],
    size: tuple[int, int],
  ) -> tuple[UInt8[np.ndarray, "a b 3"], UInt8[np.ndarray, "a b"]]:
    """Both mirrored, if so drawn, and resized to `size`."""
    if self.mirror:
      frame, labels = frame[:, ::-1], labels[:, ::-1]
    frame = _pillow(frame, size, Image.Resampling.BILINEAR)
    return frame, _pillow(labels, size, Image.Resampling.NEAREST)


@dataclasses.dataclass(frozen=True)
class CropScaleFlip(grain.transforms.RandomMap):
  """Crops, rescales and mirrors each frame independently, then resizes it to `size`.

  As the final resize undoes the scale, the scale changes only how sharp a frame is.

  Attributes:
    size: (height, width) of the result.
  """

  size: tuple[int, int]

  def random_map(self, clip: Clip, rng: np.random.Generator) -> Clip:
    """The clip at `size`."""
    return change_frames(
      clip, lambda frame, labels: self.apply(frame, labels, self.draw(frame, rng))
    )

  def draw(self, frame: UInt8[np.ndarray, "h w 3"], rng: np.random.Generator) -> Jitter:
    """Random parameters for a frame."""
    return Jitter.draw([side - int(CROP * side) + 1 for side in frame.shape[:2]], rng)

  def apply(
    self,
    frame: UInt8[np.ndarray, "h w 3"],
    labels: UInt8[np.ndarray, "h w"],
    jitter: Jitter,
  ) -> tuple[UInt8[np.ndarray, "a b 3"], UInt8[np.ndarray, "a b"]]:
    """Frame and labels (0 and 1) under a given jitter, at `size`."""
    frame, labels = jitter.crop(frame), jitter.crop(labels)
    frame = _pillow(frame, jitter.scaled(labels.shape), Image.Resampling.BILINEAR)
    return jitter.finish(frame, labels, self.size)


def read_frames(video: Video, times: Sequence[int]) -> Clip | None:
  """A clip of these frames, or None if one of them is not annotated."""
  labels = [x for x in map(video.labels, times) if x is not None]
  if len(labels) < len(times):
    return None
  name = f"{video.name}/{video.frame_names[times[0]]}"
  frames = np.stack([video.frame(t) for t in times])
  return Clip(frames=frames, labels=np.stack(labels), name=name)


def change_frames(clip: Clip, change: Callable[..., tuple[np.ndarray, ...]]) -> Clip:
  """The clip with `change` applied to each frame and its labels."""
  changed = map(change, clip["frames"], clip["labels"])
  frames, labels = (np.stack(arrays) for arrays in zip(*changed))
  return clip | {"frames": frames, "labels": labels}


def _pillow(
  image: UInt8[np.ndarray, "h w *channels"],
  size: tuple[int, int],
  resample: Image.Resampling,
) -> UInt8[np.ndarray, "a b *channels"]:
  height, width = size
  resized = Image.fromarray(image).resize((width, height), resample)
  return np.asarray(resized)
