"""How datasets encode objects in the pixels of their annotation files."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from jaxtyping import UInt8

from vosjax.data.codecs import images, label_images

_HALF = 127  # of 255; brighter pixels of a mask are object


def read_ids(
  files: Sequence[bytes], values: Sequence[int], name: str
) -> UInt8[np.ndarray, "h w"]:
  """One label map of object ids, see `label_images.decode_labels`."""
  del values
  return label_images.decode_labels(files[0], name)


def read_layers(
  files: Sequence[bytes], values: Sequence[int], name: str
) -> UInt8[np.ndarray, "h w"]:
  """One gray mask per object, thresholded at half; later objects lie on top.

  JPEG masks are accepted, too: half is the threshold that compression affects least.

  Raises:
    ValueError: the masks differ in size, or one is unreadable.
  """
  del values
  masks = [np.asarray(images.open_image(file, name).convert("L")) for file in files]
  if len({mask.shape for mask in masks}) > 1:
    raise ValueError(
      f"{name}: the masks of one frame differ in size {[m.shape for m in masks]}. "
      "Unpack the dataset again."
    )
  labels = np.zeros(masks[0].shape, np.uint8)
  for number, mask in enumerate(masks, 1):
    labels[mask > _HALF] = number
  return labels


def read_values(
  files: Sequence[bytes], values: Sequence[int], name: str
) -> UInt8[np.ndarray, "h w"]:
  """One image in which the pixels of object i have the value `values[i]` (FBMS).

  Pixels of any other value are background. The value of a gray pixel is its gray
  level, that of a coloured one 65536 red + 256 green + blue.
  """
  pixels = np.asarray(images.open_image(files[0], name)).astype(np.int64)
  if pixels.ndim == 3:
    pixels = pixels @ np.array([65536, 256, 1])
  labels = np.zeros(pixels.shape, np.uint8)
  for number, value in enumerate(values[1:], 1):
    labels[pixels == value] = number
  return labels


Reader = Callable[[Sequence[bytes], Sequence[int], str], UInt8[np.ndarray, "h w"]]

# Readers of the annotation files of one frame, by the name stored in records.
CODINGS: Mapping[str, Reader] = {
  "ids": read_ids,
  "layers": read_layers,
  "values": read_values,
}
