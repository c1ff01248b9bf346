"""How data sets write objects into the pixels of their annotation files."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from jaxtyping import UInt8

from vosjax.data.codecs import images

_HALF = 127  # of 255; a brighter pixel of a single object's mask is object


def read_ids(
  files: Sequence[bytes], values: Sequence[int], name: str
) -> UInt8[np.ndarray, "h w"]:
  """One label map whose pixels are ids: `images.decode_labels`."""
  del values
  return images.decode_labels(files[0], name)


def read_layers(
  files: Sequence[bytes], values: Sequence[int], name: str
) -> UInt8[np.ndarray, "h w"]:
  """One grey mask for each object, brighter than half; later objects lie on top.

  JPEG masks are read too: half is where compression errs least.

  Raises:
    ValueError: the masks differ in size, or one is unreadable.
  """
  del values
  masks = [np.asarray(images.open_picture(file, name).convert("L")) for file in files]
  if len({mask.shape for mask in masks}) > 1:
    raise ValueError(
      f"{name}: masks of one frame in several sizes {[m.shape for m in masks]}. "
      "Unpack the data set again."
    )
  labels = np.zeros(masks[0].shape, np.uint8)
  for number, mask in enumerate(masks, 1):
    labels[mask > _HALF] = number
  return labels


def read_values(
  files: Sequence[bytes], values: Sequence[int], name: str
) -> UInt8[np.ndarray, "h w"]:
  """One picture in which object i has the value `values[i]`, and all else is 0.

  The value of a grey pixel is its grey, of a coloured one 65536 red + 256 green +
  blue (FBMS).
  """
  pixels = np.asarray(images.open_picture(files[0], name)).astype(np.int64)
  if pixels.ndim == 3:
    pixels = pixels @ np.array([65536, 256, 1])
  labels = np.zeros(pixels.shape, np.uint8)
  for number, value in enumerate(values[1:], 1):
    labels[pixels == value] = number
  return labels


Reader = Callable[[Sequence[bytes], Sequence[int], str], UInt8[np.ndarray, "h w"]]

# Name that records carry -> reader of the annotation files of one frame.
CODINGS: Mapping[str, Reader] = {
  "ids": read_ids,
  "layers": read_layers,
  "values": read_values,
}
