"""From a video to a training clip, one named step at a time.

Each transform is a value, and its randomness is the generator passed to it. A transform
that cannot use a video (too short, no object) returns None, and the pipeline goes on to
the next video.

Source of the defaults: the official A-GAME loaders (Johnander et al., CVPR 2019).
"""

import dataclasses
from collections.abc import Callable

import grain
import numpy as np
from jaxtyping import UInt8
from PIL import Image

from vosjax.data.video import Clip, Video, read_clip
from vosjax.labels import VOID


@dataclasses.dataclass(frozen=True)
class RequireSize(grain.transforms.RandomMap):
  """Skips videos of any other size (the paper uses YouTube-VOS at 720x1280 only).

  Attributes:
    size: (height, width).
  """

  size: tuple[int, int]

  def random_map(self, video: Video, rng: np.random.Generator) -> Video | None:  # noqa: ARG002
    """The video, or None if it has another size."""
    return video if video.size == tuple(self.size) else None


@dataclasses.dataclass(frozen=True)
class SampleClip(grain.transforms.RandomMap):
  """Takes consecutive frames, the first of which shows an object.

  Every start that shows an object and leaves `length` frames is equally likely. Starts
  are tried in random order, so that few label maps are decoded.

  Attributes:
    length: number of frames.
    min_object_pixels: an object must have more pixels than this, before resizing.
  """

  length: int
  min_object_pixels: int = 100

  def random_map(self, video: Video, rng: np.random.Generator) -> Clip | None:
    """The clip, or None if the video has no such start."""
    starts = np.arange(max(0, len(video) - self.length + 1))
    if len(starts) == 1:  # then its labels need not be read or drawn twice
      clip = read_clip(video, 0, self.length)
      return (
        clip if _object_ids(clip["labels"][0], self.min_object_pixels).size else None
      )
    for start in rng.permutation(starts):
      labels = video.labels(int(start))
      if labels is not None and _object_ids(labels, self.min_object_pixels).size:
        return read_clip(video, int(start), self.length)
    return None


@dataclasses.dataclass(frozen=True)
class WholeClip(grain.transforms.RandomMap):
  """All frames of a video as one clip."""

  def random_map(self, video: Video, rng: np.random.Generator) -> Clip:  # noqa: ARG002
    """The clip."""
    return read_clip(video, 0, len(video))


@dataclasses.dataclass(frozen=True)
class Resize(grain.transforms.RandomMap):
  """Resizes frames bilinearly (antialiased, as Pillow does) and labels by nearest.

  Attributes:
    size: (height, width).
  """

  size: tuple[int, int]

  def random_map(self, clip: Clip, rng: np.random.Generator) -> Clip:  # noqa: ARG002
    """The clip at `size`."""
    height, width = self.size
    if clip["frames"].shape[1:3] == (height, width):
      return clip
    return _resample(clip, lambda _, image, how: image.resize((width, height), how))


@dataclasses.dataclass(frozen=True)
class ChooseObject(grain.transforms.RandomMap):
  """Makes one random object of the first frame label 1, and all else background.

  Void and frames without annotation become background too, so that void never
  reaches the loss.

  Attributes:
    min_pixels: an object must have more pixels than this in the first frame (the
      paper: 25 on DAVIS, 10 on YouTube-VOS).
  """

  min_pixels: int = 25

  def random_map(self, clip: Clip, rng: np.random.Generator) -> Clip | None:
    """The clip, or None if no object of the first frame is large enough."""
    ids = _object_ids(clip["labels"][0], self.min_pixels)
    if not ids.size:
      return None
    # As uint8, because comparing with a wider integer would widen all labels first.
    chosen = np.uint8(rng.choice(ids))
    return clip | {"labels": (clip["labels"] == chosen).view(np.uint8)}


@dataclasses.dataclass(frozen=True)
class RandomFlip(grain.transforms.RandomMap):
  """Mirrors a whole clip left to right, frames and labels together."""

  probability: float = 0.5

  def random_map(self, clip: Clip, rng: np.random.Generator) -> Clip:
    """The clip, mirrored with `probability`."""
    if rng.random() >= self.probability:
      return clip
    return clip | {
      "frames": clip["frames"][:, :, ::-1],
      "labels": clip["labels"][:, :, ::-1],
    }


@dataclasses.dataclass(frozen=True)
class RandomZoom(grain.transforms.RandomMap):
  """Zooms in steadily: frame t is scaled by g ** (t + 1) and cropped to its centre.

  g is 1 + `max_rate` * u with u uniform in [0, 1). The enlarged frame has
  floor(size * scale) rows and columns. Labels take the nearest pixel centre.
  """

  probability: float = 0.5
  max_rate: float = 0.1

  def random_map(self, clip: Clip, rng: np.random.Generator) -> Clip:
    """The clip, zoomed with `probability`."""
    if rng.random() >= self.probability:
      return clip
    rate = 1 + self.max_rate * rng.random()
    return _resample(clip, lambda t, image, how: _enlarge(image, rate ** (t + 1), how))


def _object_ids(labels: UInt8[np.ndarray, "h w"], min_pixels: int) -> np.ndarray:
  """Sorted ids of the objects with more than `min_pixels` pixels."""
  # Takes a fifth of the time of np.bincount.
  counts = np.asarray(Image.fromarray(labels).histogram())
  counts[[0, VOID]] = 0
  return np.flatnonzero(counts > min_pixels)


def _resample(
  clip: Clip,
  change: Callable[[int, Image.Image, Image.Resampling], Image.Image],
) -> Clip:
  """Applies `change` to each frame and label map; ids are never interpolated."""

  def apply(
    arrays: UInt8[np.ndarray, "t h w *channels"], how: Image.Resampling
  ) -> UInt8[np.ndarray, "t a b *channels"]:
    images = (change(t, Image.fromarray(x), how) for t, x in enumerate(arrays))
    return np.stack([np.asarray(image) for image in images])

  return clip | {
    "frames": apply(clip["frames"], Image.Resampling.BILINEAR),
    "labels": apply(clip["labels"], Image.Resampling.NEAREST),
  }


def _enlarge(
  image: Image.Image, scale: float, resample: Image.Resampling
) -> Image.Image:
  """Resizes by `scale` >= 1 and crops to the centre, computing only what is kept."""
  box = []
  for size in image.size:
    enlarged = int(size * scale)
    start = (enlarged - size) // 2
    box += [start * size / enlarged, (start + size) * size / enlarged]
  left, right, top, bottom = box
  return image.resize(image.size, resample, box=(left, top, right, bottom))
