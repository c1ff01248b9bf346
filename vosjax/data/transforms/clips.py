"""From a video to a training clip, one named step at a time.

Each transform is a value; its randomness is the generator it is handed. A
transform that cannot work with a video (too short, no object) returns None and
the pipeline goes on to the next video.

Source of the defaults: the official A-GAME loaders (Johnander et al., CVPR
2019).
"""

import dataclasses
from collections.abc import Callable

import grain
import numpy as np
from jaxtyping import UInt8
from PIL import Image

from vosjax.data.lazy_images import Picture, as_image, change_each
from vosjax.data.video import VOID, Clip, Video, frame_size, read_clip

_RESAMPLING = {"frames": Image.Resampling.BILINEAR, "labels": Image.Resampling.NEAREST}


@dataclasses.dataclass(frozen=True)
class RequireSize(grain.transforms.RandomMap):
  """Passes over videos of another size (the paper: YouTube-VOS at 720x1280 alone).

  Attributes:
    size: (height, width).
  """

  size: tuple[int, int]

  def random_map(self, video: Video, rng: np.random.Generator) -> Video | None:  # noqa: ARG002
    """The video, or None if its first frame has another size."""
    return video if frame_size(video) == tuple(self.size) else None


@dataclasses.dataclass(frozen=True)
class SampleClip(grain.transforms.RandomMap):
  """Cuts consecutive listed frames, the first of which shows an object.

  Every start that shows an object and leaves `length` frames is equally likely.
  Starts are tried in random order, so few annotations are decoded.

  Attributes:
    length: number of frames.
    min_object_pixels: an id must have more pixels than this, before resizing.
    first: take the earliest such start (validation).
  """

  length: int
  min_object_pixels: int = 100
  first: bool = False

  def random_map(self, video: Video, rng: np.random.Generator) -> Clip | None:
    """The clip, or None if the video has no such start."""
    starts = np.arange(max(0, len(video) - self.length + 1))
    for start in starts if self.first else rng.permutation(starts):
      labels = video.labels(int(start))
      if labels is not None and _ids(labels, self.min_object_pixels).size:
        return read_clip(video, int(start), self.length, labels)
    return None


@dataclasses.dataclass(frozen=True)
class Resize(grain.transforms.RandomMap):
  """Frames bilinearly (antialiased, as Pillow does), labels by nearest.

  Attributes:
    size: (height, width).
  """

  size: tuple[int, int]

  def random_map(self, clip: Clip, rng: np.random.Generator) -> Clip:  # noqa: ARG002
    """The clip at `size`."""
    height, width = self.size
    if clip["frames"].shape[1:3] == (height, width):
      return clip

    def resize(_, image, resample):
      return image.resize((width, height), resample)

    return _resample(clip, resize, (height, width))


@dataclasses.dataclass(frozen=True)
class ChooseObject(grain.transforms.RandomMap):
  """Keeps one object of the first frame as id 1; the rest becomes background.

  Void and frames without annotation become background too, so the ignore value
  never reaches the loss.

  Attributes:
    min_pixels: an id must have more pixels than this in the first frame (the
      paper: 25 on DAVIS, 10 on YouTube-VOS).
    smallest_id: take the smallest such id and not a random one (validation).
  """

  min_pixels: int = 25
  smallest_id: bool = False

  def random_map(self, clip: Clip, rng: np.random.Generator) -> Clip | None:
    """The clip, or None if no object of the first frame is large enough."""
    ids = _ids(clip["labels"][0], self.min_pixels)
    if not ids.size:
      return None
    # Compared with more bits than they have, labels are copied to as many.
    chosen = np.uint8(ids[0] if self.smallest_id else rng.choice(ids))

    def select(_, labels):
      return (np.asarray(labels) == chosen).view(np.uint8)

    return clip | {"labels": change_each(clip["labels"], select)}


@dataclasses.dataclass(frozen=True)
class ChooseObjects(grain.transforms.RandomMap):
  """Keeps up to `max_objects` objects of the first frame, renumbered from 1.

  Which and in what order is random. Everything else becomes background, void
  included.
  """

  max_objects: int
  min_pixels: int = 25

  def random_map(self, clip: Clip, rng: np.random.Generator) -> Clip | None:
    """The clip, or None if no object of the first frame is large enough."""
    ids = rng.permutation(_ids(clip["labels"][0], self.min_pixels))
    if not ids.size:
      return None
    table = np.zeros(256, np.uint8)
    kept = ids[: self.max_objects]
    table[kept] = np.arange(1, len(kept) + 1)
    labels = change_each(clip["labels"], lambda _, x: table[np.asarray(x)])
    return clip | {"labels": labels}


@dataclasses.dataclass(frozen=True)
class RandomFlip(grain.transforms.RandomMap):
  """Mirrors a whole clip left-right, frames and labels together."""

  probability: float = 0.5

  def random_map(self, clip: Clip, rng: np.random.Generator) -> Clip:
    """The clip, mirrored with `probability`."""
    if rng.random() >= self.probability:
      return clip
    return clip | {kind: change_each(clip[kind], _mirror) for kind in _RESAMPLING}


@dataclasses.dataclass(frozen=True)
class RandomZoom(grain.transforms.RandomMap):
  """Zooms in steadily: frame l is scaled by g ** (l + 1), cropped to its centre.

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

    def zoom(t, image, resample):
      return _enlarge(image, rate ** (t + 1), resample)

    return _resample(clip, zoom)


def _ids(labels: UInt8[np.ndarray, "h w"], min_pixels: int) -> np.ndarray:
  """Sorted object ids with more than `min_pixels` pixels; neither 0 nor void."""
  counts = np.asarray(Image.fromarray(labels).histogram())  # 5 x np.bincount
  counts[[0, VOID]] = 0
  return np.flatnonzero(counts > min_pixels)


def _resample(
  clip: Clip,
  change: Callable[[int, Image.Image, Image.Resampling], Image.Image],
  size: tuple[int, int] | None = None,
) -> Clip:
  """Changes frames, and labels in the same way but without mixing them."""

  def change_kind(kind):
    how = _RESAMPLING[kind]
    return change_each(clip[kind], lambda t, x: change(t, as_image(x), how), size)

  return clip | {kind: change_kind(kind) for kind in _RESAMPLING}


def _mirror(_: int, picture: Picture) -> Picture:
  if isinstance(picture, np.ndarray) and picture.ndim == 2:
    return picture[:, ::-1]
  # Pillow mirrors RGB in a fraction of the time.
  return as_image(picture).transpose(Image.Transpose.FLIP_LEFT_RIGHT)


def _enlarge(
  image: Image.Image, scale: float, resample: Image.Resampling
) -> Image.Image:
  """Resizes by `scale` >= 1 and cuts the centre, computing only what is kept."""
  box = []
  for size in image.size:
    enlarged = int(size * scale)
    start = (enlarged - size) // 2
    box += [start * size / enlarged, (start + size) * size / enlarged]
  left, right, top, bottom = box
  return image.resize(image.size, resample, box=(left, top, right, bottom))
