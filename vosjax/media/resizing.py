"""Large videos at a smaller size for the network, and masks back at the full one.

Edges of enlarged masks follow those of the full image: where the probability of an
object varies with brightness, what the image shows in more detail than the network saw
is added to the enlarged probability in the same proportion. The reduced result stays
what the network found.

Source: the local linear model of the guided filter, He et al., ECCV 2010; used for
detail alone, as in pan-sharpening by injection.
"""

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Integer, UInt8
from PIL import Image
from scipy import ndimage

_WINDOW = 3  # pixels of the reduced frame, in which the linear model holds
_NOISE = 1e-3  # variance of brightness (0 to 1) that is not taken for an edge
_NOTHING = 0.02  # probabilities below it are not enlarged
_KEPT = 32  # full images that wait for `take`

Resampling = Image.Resampling


def reduced_size(size: tuple[int, int], max_size: int) -> tuple[int, int]:
  """(height, width) whose longer side is at most `max_size`, of the same shape.

  Raises:
    ValueError: `max_size` is less than 16.
  """
  if max_size < 16:
    raise ValueError(f"--max-size {max_size}: expected at least 16 pixels.")
  scale = min(1.0, max_size / max(size))
  height, width = (max(1, round(side * scale)) for side in size)
  return height, width


class ReducedFrames:
  """The frames of a video at a smaller size; `take` gives them at the full one.

  Args:
    frames: the video.
    size: (height, width) to which its frames are reduced.
  """

  def __init__(self, frames: Sequence[Any] | Any, size: tuple[int, int]):
    self._frames, self._size = frames, size
    self._full: dict[int, UInt8[np.ndarray, "h w 3"]] = {}
    self._lock = threading.Lock()  # frames are read in one thread, taken in another

  def __len__(self) -> int:
    return len(self._frames)

  def __getitem__(self, index: int) -> UInt8[np.ndarray, "h w 3"]:
    with self._lock:
      full = self._frames[index]
      self._full[index] = full
      if len(self._full) > _KEPT:
        del self._full[next(iter(self._full))]
    return reduce_image(full, self._size)

  def take(self, index: int) -> UInt8[np.ndarray, "h w 3"]:
    """The full frame; it is read again if many others were read since."""
    with self._lock:
      full = self._full.pop(index, None)
      return self._frames[index] if full is None else full


def reduce_image(
  image: UInt8[np.ndarray, "_ _ 3"], size: tuple[int, int]
) -> UInt8[np.ndarray, "_ _ 3"]:
  """The image at a smaller (height, width); each pixel is the mean of an area."""
  return np.asarray(Image.fromarray(image).resize(size[::-1], Resampling.BOX))


def reduce_labels(
  labels: Integer[np.ndarray, "_ _"], size: tuple[int, int]
) -> UInt8[np.ndarray, "_ _"]:
  """Labels at a smaller (height, width): the value nearest to each pixel's centre."""
  image = Image.fromarray(labels.astype(np.uint8))
  return np.asarray(image.resize(size[::-1], Resampling.NEAREST))


def enlarge(
  labels: Integer[np.ndarray, "i j"],
  object_ids: Sequence[int],
  probs: Float[np.ndarray, "o i j"],
  image: UInt8[np.ndarray, "h w 3"],
) -> tuple[Int[np.ndarray, "h w"], Float[np.ndarray, "o h w"]]:
  """Labels and probabilities at the size of the full image.

  Args:
    labels: object ids of the reduced frame, 0 = background.
    object_ids: of the axis `o`.
    probs: probability of each object in the reduced frame. Where they do not explain
      the labels (objects that overlap, refined labels), both count half.
    image: the full frame.

  Returns:
    Labels, and probabilities in [0, 1] that give them: the most probable of objects and
    background.
  """
  probs = _explain(labels, object_ids, np.asarray(probs, np.float32))
  size = image.shape[:2]
  large = np.zeros((len(object_ids), *size), np.float32)
  gray = Image.fromarray(image).convert("L")
  small = gray.resize(labels.shape[::-1], Resampling.BOX)
  light = np.asarray(small, np.float32) / 255
  mean = _blur(light)
  variance = _blur(light * light) - mean * mean + _NOISE
  for position, prob in enumerate(probs):
    box = _box(prob, size)
    if box is None:
      continue
    slope = _blur((_blur(light * prob) - mean * _blur(prob)) / variance)
    detail = np.asarray(gray)[box] * np.float32(1 / 255)
    detail -= _resize(light, size, box, Resampling.BICUBIC)
    detail *= _resize(slope, size, box, Resampling.BILINEAR)
    detail += _resize(prob, size, box, Resampling.BICUBIC)
    np.clip(detail, 0, 1, out=large[position][box])
  return _decide(large, object_ids), large


def _explain(
  labels: Integer[np.ndarray, "i j"],
  object_ids: Sequence[int],
  probs: Float[np.ndarray, "o i j"],
) -> Float[np.ndarray, "o i j"]:
  """Probabilities of which the labels are the most probable choice."""
  if (_decide(probs, object_ids) == labels).all():
    return probs
  given = labels == np.array(object_ids, labels.dtype)[:, None, None]
  return (probs / np.maximum(1, probs.sum(0)) + given) / 2


def _decide(
  probs: Float[np.ndarray, "o h w"], object_ids: Sequence[int]
) -> Int[np.ndarray, "h w"]:
  """The most probable of objects and background, which has what they leave."""
  labels = np.zeros(probs.shape[1:], np.int32)
  best = 1 - probs.sum(0)
  for object_id, prob in zip(object_ids, probs, strict=True):
    wins = prob > best
    labels[wins] = object_id
    best[wins] = prob[wins]
  return labels


def _box(
  prob: Float[np.ndarray, "i j"], size: tuple[int, int]
) -> tuple[slice, slice] | None:
  """Rows and columns of the full image around all that is not improbable."""
  likely = prob > _NOTHING
  slices = []
  for axis, full in ((1, size[0]), (0, size[1])):
    found = np.flatnonzero(likely.any(axis))
    if not len(found):
      return None
    scale = full / prob.shape[1 - axis]
    first = int((found[0] - _WINDOW) * scale)
    last = int(np.ceil((found[-1] + 1 + _WINDOW) * scale))
    slices.append(slice(max(0, first), min(full, last)))
  return slices[0], slices[1]


def _blur(values: Float[np.ndarray, "i j"]) -> Float[np.ndarray, "i j"]:
  """Means over windows."""
  return ndimage.uniform_filter(values, _WINDOW, mode="nearest")


def _resize(
  values: Float[np.ndarray, "i j"],
  size: tuple[int, int],
  box: tuple[slice, slice],
  resampling: Resampling,
) -> Float[np.ndarray, "_ _"]:
  """A part of the values at a larger (height, width)."""
  rows, columns = box
  y, x = values.shape[0] / size[0], values.shape[1] / size[1]
  source = columns.start * x, rows.start * y, columns.stop * x, rows.stop * y
  shape = columns.stop - columns.start, rows.stop - rows.start
  return np.asarray(Image.fromarray(values).resize(shape, resampling, box=source))
