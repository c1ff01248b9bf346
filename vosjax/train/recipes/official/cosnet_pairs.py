"""COSNet's samples and their augmentation, as the released program makes them.

Source: the released COSNet (Lu et al., CVPR 2019).
"""

import dataclasses

import grain
import numpy as np
from jaxtyping import UInt8

from vosjax.data.transforms import pairs
from vosjax.data.transforms.pairs import CROP, Jitter
from vosjax.data.video import Clip
from vosjax.data.views import FrameSubset
from vosjax.train.recipes.official.cv2_resize import resize_linear, resize_nearest


@dataclasses.dataclass(frozen=True)
class AddReferences(grain.transforms.RandomMap):
  """`pairs.AddReferences`, with the target among the references, and void as object.

  A single reference is drawn once more if it is the target.

  Attributes:
    count: number of references; 0 returns the target alone.
  """

  count: int

  def random_map(self, target: FrameSubset, rng: np.random.Generator) -> Clip | None:
    """A clip of 1 + `count` frames, or None if one of them is not annotated."""
    video, (time,) = target.video, target.indices
    clip = pairs.read_frames(video, (time, *self._draw(len(video), time, rng)))
    if clip is None:
      return None
    return clip | {"labels": (clip["labels"] != 0).view(np.uint8)}

  def _draw(self, length: int, time: int, rng: np.random.Generator) -> list[int]:
    """Times of the references."""
    if self.count == 1:
      drawn = int(rng.integers(length))
      return [int(rng.integers(length)) if drawn == time else drawn]
    return rng.choice(length, self.count, replace=length < self.count).tolist()


@dataclasses.dataclass(frozen=True)
class CropScaleFlip(grain.transforms.RandomMap):
  """`pairs.CropScaleFlip` with rows and columns swapped when the crop is scaled.

  Besides, contrast is stretched to the full range, a crop that is all object becomes
  all background, and crops never reach the last row and column.

  Attributes:
    size: (height, width) of the result.
  """

  size: tuple[int, int]

  def random_map(self, clip: Clip, rng: np.random.Generator) -> Clip:
    """The clip at `size`."""
    return pairs.change_frames(
      clip, lambda frame, labels: self.apply(frame, labels, self.draw(frame, rng))
    )

  def draw(self, frame: UInt8[np.ndarray, "h w 3"], rng: np.random.Generator) -> Jitter:
    """Random parameters for a frame."""
    return Jitter.draw([side - int(CROP * side) for side in frame.shape[:2]], rng)

  def apply(
    self,
    frame: UInt8[np.ndarray, "h w 3"],
    labels: UInt8[np.ndarray, "h w"],
    jitter: Jitter,
  ) -> tuple[UInt8[np.ndarray, "a b 3"], UInt8[np.ndarray, "a b"]]:
    """Frame and labels (0 and 1) under a given jitter, at `size`."""
    frame, labels = jitter.crop(frame), jitter.crop(labels)
    swapped = jitter.scaled(labels.shape)[::-1]
    frame = stretch(resize_linear(frame, swapped))
    labels = (stretch(resize_nearest(labels, swapped)) != 0).view(np.uint8)
    return jitter.finish(frame, labels, self.size)


def stretch(image: UInt8[np.ndarray, "..."]) -> UInt8[np.ndarray, "..."]:
  """Maps the smallest to largest value linearly to 0 to 255; a constant becomes 0."""
  image = image.astype(np.float64)
  low, high = image.min(), image.max()
  return ((image - low) * (255 / ((high - low) or 255)) + 0.5).astype(np.uint8)
