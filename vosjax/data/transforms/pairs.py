"""COSNet's samples, a frame with others of its video, and their augmentation.

A target, the frame to segment, is a view of one frame of its video.

Source: the released COSNet (Lu et al., CVPR 2019). Its accidents are reproduced with
`official=True` only; each class describes its own.
"""

import dataclasses

import grain
import numpy as np
from jaxtyping import UInt8
from PIL import Image

from vosjax.data.transforms.cv2_resize import resize_linear, resize_nearest
from vosjax.data.video import Clip, Video
from vosjax.data.views import ClipView
from vosjax.labels import VOID

CROP = 0.9  # fraction of each side that is kept
SCALES = (0.7, 1.3)


@dataclasses.dataclass(frozen=True)
class AnyTarget(grain.transforms.RandomMap):
  """One frame of a video, each equally likely."""

  def random_map(self, video: Video, rng: np.random.Generator) -> ClipView:
    """The target."""
    return ClipView(video, (int(rng.integers(len(video))),))


@dataclasses.dataclass(frozen=True)
class AddReferences(grain.transforms.RandomMap):
  """The target and reference frames of its video, all objects merged into label 1.

  References are distinct where the video has enough frames; the only frame of a video
  is its own reference.

  Attributes:
    count: number of references; 0 returns the target alone.
    official: references may be the target itself (a single one is then drawn again
      once), and void counts as object.
  """

  count: int
  official: bool = False

  def random_map(self, target: ClipView, rng: np.random.Generator) -> Clip | None:
    """A clip of 1 + `count` frames, or None if one of them is not annotated."""
    video, (time,) = target.video, target.indices
    times = (time, *self._draw(len(video), time, rng))
    annotations = [x for x in map(video.labels, times) if x is not None]
    if len(annotations) < len(times):
      return None
    labels = np.stack(annotations)
    objects = (labels != 0) if self.official else (labels != 0) & (labels != VOID)
    frames = np.stack([video.frame(t) for t in times])
    name = f"{video.name}/{video.frame_names[time]}"
    return Clip(frames=frames, labels=objects.view(np.uint8), name=name)

  def _draw(self, length: int, time: int, rng: np.random.Generator) -> list[int]:
    """Times of the references."""
    if self.official and self.count == 1:
      drawn = int(rng.integers(length))
      return [int(rng.integers(length)) if drawn == time else drawn]
    others = [t for t in range(length) if self.official or t != time] or [time]
    return rng.choice(others, self.count, replace=len(others) < self.count).tolist()


@dataclasses.dataclass(frozen=True)
class Jitter:
  """The draws for one frame: corner of the crop, scale, and whether to mirror."""

  row: int
  column: int
  scale: float
  mirror: bool


@dataclasses.dataclass(frozen=True)
class CropScaleFlip(grain.transforms.RandomMap):
  """Crops, rescales and mirrors each frame independently, then resizes it to `size`.

  As the final resize undoes the scale, the scale changes only how sharp a frame is.

  Attributes:
    size: (height, width) of the result.
    official: rows and columns are swapped when the crop is scaled, contrast is
      stretched to the full range, a crop that is all object becomes all background,
      and offsets stop one pixel short.
  """

  size: tuple[int, int]
  official: bool = False

  def random_map(self, clip: Clip, rng: np.random.Generator) -> Clip:
    """The clip at `size`."""
    pairs = [
      self.apply(frame, labels, self.draw(labels.shape, rng))
      for frame, labels in zip(clip["frames"], clip["labels"])
    ]
    frames, labels = (np.stack(arrays) for arrays in zip(*pairs))
    return clip | {"frames": frames, "labels": labels}

  def draw(self, size: tuple[int, int], rng: np.random.Generator) -> Jitter:
    """Random parameters for a frame of `size`, (height, width)."""
    num_offsets = [side - int(CROP * side) + (not self.official) for side in size]
    row, column = (int(rng.integers(n)) for n in num_offsets)
    return Jitter(row, column, rng.uniform(*SCALES), bool(rng.random() > 0.5))

  def apply(
    self,
    frame: UInt8[np.ndarray, "h w 3"],
    labels: UInt8[np.ndarray, "h w"],
    jitter: Jitter,
  ) -> tuple[UInt8[np.ndarray, "a b 3"], UInt8[np.ndarray, "a b"]]:
    """Frame and labels (0 and 1) under a given jitter, at `size`."""
    h, w = labels.shape
    rows = slice(jitter.row, jitter.row + int(CROP * h))
    columns = slice(jitter.column, jitter.column + int(CROP * w))
    frame, labels = frame[rows, columns], labels[rows, columns]
    h, w = (int(jitter.scale * side) for side in labels.shape)
    if self.official:
      frame, labels = resize_linear(frame, (w, h)), resize_nearest(labels, (w, h))
      frame, labels = stretch(frame), stretch(labels) != 0
      labels = labels.view(np.uint8)
    else:
      frame = _pillow(frame, (h, w), Image.Resampling.BILINEAR)
    if jitter.mirror:
      frame, labels = frame[:, ::-1], labels[:, ::-1]
    frame = _pillow(frame, self.size, Image.Resampling.BILINEAR)
    return frame, _pillow(labels, self.size, Image.Resampling.NEAREST)


def stretch(image: UInt8[np.ndarray, "..."]) -> UInt8[np.ndarray, "..."]:
  """Maps the smallest to largest value linearly to 0 to 255; a constant becomes 0."""
  image = image.astype(np.float64)
  low, high = image.min(), image.max()
  return ((image - low) * (255 / ((high - low) or 255)) + 0.5).astype(np.uint8)


def _pillow(
  image: UInt8[np.ndarray, "h w *channels"],
  size: tuple[int, int],
  resample: Image.Resampling,
) -> UInt8[np.ndarray, "a b *channels"]:
  height, width = size
  resized = Image.fromarray(image).resize((width, height), resample)
  return np.asarray(resized)
