"""From a video to a training clip, one named step at a time.

Each transform is a value; its randomness is the generator it is handed. A
transform that cannot work with a video (too short, no object) returns None and
the pipeline goes on to the next video.

Source of the defaults: the official A-GAME loaders (Johnander et al., CVPR
2019).
"""

import dataclasses

import grain
import numpy as np
from jaxtyping import UInt8
from PIL import Image

from vosjax.data.sources import VOID, Clip, Video, read_clip


@dataclasses.dataclass(frozen=True)
class RequireSize(grain.transforms.RandomMap):
  """Passes over videos of another size (the paper: YouTube-VOS at 720x1280 alone).

  Attributes:
    size: (height, width).
  """

  size: tuple[int, int]

  def random_map(self, video: Video, rng: np.random.Generator) -> Video | None:  # noqa: ARG002
    """The video, or None if its first frame has another size."""
    return video if video.frame(0).shape[:2] == tuple(self.size) else None


@dataclasses.dataclass(frozen=True)
class SampleClip(grain.transforms.RandomMap):
  """Cuts consecutive listed frames, the first of which shows an object.

  Every start that shows an object and leaves `length` frames is equally likely.
  Starts are tried in random order, so few annotations are decoded.

  Attributes:
    length: number of frames.
    min_object_pixels: an id must have more pixels than this, before resizing.
    first: take the earliest such start (validation).
    size: (height, width) as in Resize, which it saves: frames are resized as they are
      decoded, because memory for a clip of large ones takes longer than to fill it.
  """

  length: int
  min_object_pixels: int = 100
  first: bool = False
  size: tuple[int, int] | None = None

  def random_map(self, video: Video, rng: np.random.Generator) -> Clip | None:
    """The clip, or None if the video has no such start."""
    starts = np.arange(max(0, len(video) - self.length + 1))
    for start in starts if self.first else rng.permutation(starts):
      labels = video.labels(int(start))
      if labels is not None and _ids(labels, self.min_object_pixels).size:
        return self._read(video, int(start), labels)
    return None

  def _read(self, video: Video, start: int, labels: np.ndarray) -> Clip:
    if self.size is None:
      return read_clip(video, start, self.length, labels)
    if hasattr(video, "clip"):
      return _resize_clip(read_clip(video, start, self.length), self.size)
    labels = _resize(labels, self.size, Image.Resampling.NEAREST)
    return read_clip(_Resized(video, self.size), start, self.length, labels)


@dataclasses.dataclass(frozen=True)
class Resize(grain.transforms.RandomMap):
  """Frames bilinearly (antialiased, as Pillow does), labels by nearest.

  Attributes:
    size: (height, width).
  """

  size: tuple[int, int]

  def random_map(self, clip: Clip, rng: np.random.Generator) -> Clip:  # noqa: ARG002
    """The clip at `size`."""
    return _resize_clip(clip, self.size)


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
    chosen = ids[0] if self.smallest_id else rng.choice(ids)
    return clip | {"labels": (clip["labels"] == chosen).view(np.uint8)}


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
    kept = ids[:self.max_objects]
    table[kept] = np.arange(1, len(kept) + 1)
    return clip | {"labels": table[clip["labels"]]}


@dataclasses.dataclass(frozen=True)
class RandomFlip(grain.transforms.RandomMap):
  """Mirrors a whole clip left-right, frames and labels together."""

  probability: float = 0.5

  def random_map(self, clip: Clip, rng: np.random.Generator) -> Clip:
    """The clip, mirrored with `probability`."""
    if rng.random() >= self.probability:
      return clip
    mirror = Image.Transpose.FLIP_LEFT_RIGHT
    frames = [Image.fromarray(f).transpose(mirror) for f in clip["frames"]]
    return clip | {  # Pillow mirrors RGB in under half the time that [::-1] takes
        "frames": np.stack([np.asarray(frame) for frame in frames]),
        "labels": np.ascontiguousarray(clip["labels"][:, :, ::-1])}


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
    scales = [rate ** (t + 1) for t in range(len(clip["frames"]))]
    return clip | {
        "frames": np.stack([
            _enlarge(f, s, Image.Resampling.BILINEAR)
            for f, s in zip(clip["frames"], scales)]),
        "labels": np.stack([
            _enlarge(f, s, Image.Resampling.NEAREST)
            for f, s in zip(clip["labels"], scales)]),
    }


def _ids(labels: UInt8[np.ndarray, "h w"], min_pixels: int) -> np.ndarray:
  """Sorted object ids with more than `min_pixels` pixels; neither 0 nor void."""
  counts = np.asarray(Image.fromarray(labels).histogram())  # 5 x np.bincount
  counts[[0, VOID]] = 0
  return np.flatnonzero(counts > min_pixels)


@dataclasses.dataclass(frozen=True)
class _Resized:
  """A video whose pictures are resized as they are decoded."""

  video: Video
  size: tuple[int, int]

  @property
  def name(self) -> str:
    return self.video.name

  @property
  def frame_names(self) -> tuple[str, ...]:
    return self.video.frame_names

  def __len__(self) -> int:
    return len(self.video)

  def frame(self, index: int) -> np.ndarray:
    return _resize(self.video.frame(index), self.size, Image.Resampling.BILINEAR)

  def labels(self, index: int) -> np.ndarray | None:
    labels = self.video.labels(index)
    if labels is None:
      return None
    return _resize(labels, self.size, Image.Resampling.NEAREST)


def _resize_clip(clip: Clip, size: tuple[int, int]) -> Clip:
  if clip["frames"].shape[1:3] == tuple(size):
    return clip
  return clip | {
      "frames": np.stack([_resize(f, size, Image.Resampling.BILINEAR)
                          for f in clip["frames"]]),
      "labels": np.stack([_resize(f, size, Image.Resampling.NEAREST)
                          for f in clip["labels"]]),
  }


def _resize(image: np.ndarray, size: tuple[int, int],
            resample: Image.Resampling) -> np.ndarray:
  height, width = size
  if image.shape[:2] == (height, width):
    return image
  return np.asarray(Image.fromarray(image).resize((width, height), resample))


def _enlarge(image: np.ndarray, scale: float,
             resample: Image.Resampling) -> np.ndarray:
  """Resizes by `scale` >= 1 and cuts the centre, computing only what is kept."""
  box = []
  for size in image.shape[:2]:
    enlarged = int(size * scale)
    start = (enlarged - size) // 2
    box += [start * size / enlarged, (start + size) * size / enlarged]
  top, bottom, left, right = box
  height, width = image.shape[:2]
  return np.asarray(Image.fromarray(image).resize(
      (width, height), resample, box=(left, top, right, bottom)))
