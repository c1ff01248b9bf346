"""Frames of one video beside each other: COSNet's samples and their augmentation.

Source: the released COSNet (Lu et al., CVPR 2019). What it does by accident is done
with `official=True` alone; each class says what that is.
"""

import dataclasses

import grain
import numpy as np
from jaxtyping import UInt8
from PIL import Image

from vosjax.data.transforms.cv2_resize import resize_linear, resize_nearest
from vosjax.data.video import VOID, Clip, Source, Video

CROP = 0.9  # of each side
SCALES = (0.7, 1.3)


@dataclasses.dataclass(frozen=True)
class Target:
  """A frame to segment, and the video that it belongs to."""

  video: Video
  time: int

  @property
  def name(self) -> str:
    """Of video and frame."""
    return f"{self.video.name}/{self.video.frame_names[self.time]}"


class EveryFrame:
  """A source of targets: all frames of all videos, so that a pass shows each once.

  Args:
    source: of videos; each is opened here once, for its length.
  """

  def __init__(self, source: Source):
    self._source = source
    self._ends = np.cumsum([len(source[i]) for i in range(len(source))])

  def __len__(self) -> int:
    return int(self._ends[-1])

  def __getitem__(self, index: int) -> Target:
    if not 0 <= index < len(self):
      raise IndexError(f"frame {index} of {len(self)}.")
    video = int(np.searchsorted(self._ends, index, side="right"))
    opened = self._source[video]
    return Target(opened, index - int(self._ends[video]) + len(opened))


class Inner:
  """A source without its first and last item, which the release never draws."""

  def __init__(self, source: Source):
    self._source = source

  def __len__(self) -> int:
    return len(self._source) - 2

  def __getitem__(self, index: int) -> Video:
    return self._source[index + 1]


@dataclasses.dataclass(frozen=True)
class AnyTarget(grain.transforms.RandomMap):
  """One frame of a video, each as likely."""

  def random_map(self, video: Video, rng: np.random.Generator) -> Target:
    """The target."""
    return Target(video, int(rng.integers(len(video))))


@dataclasses.dataclass(frozen=True)
class AddReferences(grain.transforms.RandomMap):
  """The target and other frames of its video, with all objects as one, label 1.

  A video with too few other frames gives the target as its own reference.

  Attributes:
    count: references; 0 leaves the target alone.
    official: the references may be the target itself (a single one is drawn once more
      then), and void is object.
  """

  count: int
  official: bool = False

  def random_map(self, target: Target, rng: np.random.Generator) -> Clip | None:
    """A clip of 1 + `count` frames, or None if one of them is not annotated."""
    video = target.video
    times = (target.time, *self._draw(len(video), target.time, rng))
    labels = [video.labels(t) for t in times]
    if any(x is None for x in labels):
      return None
    labels = np.stack(labels)
    objects = (labels != 0) if self.official else (labels != 0) & (labels != VOID)
    frames = np.stack([video.frame(t) for t in times])
    return Clip(frames=frames, labels=objects.view(np.uint8), name=target.name)

  def _draw(self, length, time, rng):
    if self.official and self.count == 1:
      drawn = int(rng.integers(length))
      return [int(rng.integers(length)) if drawn == time else drawn]
    others = [t for t in range(length) if self.official or t != time] or [time]
    return rng.choice(others, self.count, replace=len(others) < self.count).tolist()


@dataclasses.dataclass(frozen=True)
class Jitter:
  """What was drawn for one frame: corner of the crop, scale, mirrored or not."""

  row: int
  column: int
  scale: float
  mirror: bool


@dataclasses.dataclass(frozen=True)
class CropScaleFlip(grain.transforms.RandomMap):
  """Crops, rescales and mirrors each frame by itself, then brings it to one size.

  The pair differs in all three. The scale comes before the last resize: what it
  changes is how sharp the frame is.

  Attributes:
    size: (height, width) in the end.
    official: rows and columns are swapped when the crop is scaled, contrast is
      stretched to the whole range, a crop that is all object becomes all background,
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
    """What happens to a frame of `size`."""
    rest = [side - int(CROP * side) + (not self.official) for side in size]
    row, column = (int(rng.integers(n)) for n in rest)
    return Jitter(row, column, rng.uniform(*SCALES), bool(rng.random() > 0.5))

  def apply(
    self,
    frame: UInt8[np.ndarray, "h w 3"],
    labels: UInt8[np.ndarray, "h w"],
    jitter: Jitter,
  ) -> tuple[UInt8[np.ndarray, "a b 3"], UInt8[np.ndarray, "a b"]]:
    """Frame and labels (0 and 1) with a given jitter, at `size`."""
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
  """From the smallest to the largest value as 0 to 255; nothing but one value: 0."""
  image = image.astype(np.float64)
  low, high = image.min(), image.max()
  return ((image - low) * (255 / ((high - low) or 255)) + 0.5).astype(np.uint8)


def _pillow(image, size, resample):
  height, width = size
  image = Image.fromarray(np.ascontiguousarray(image))
  return np.asarray(image.resize((width, height), resample))
