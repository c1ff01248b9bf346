"""Label maps from image files, or one clear line on what is wrong."""

from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from vosjax.data.codecs.images import open_image
from vosjax.data.codecs.png import decode_indices

_MAX_GRAY_VALUES = 64  # a mask with more distinct gray values was interpolated


def read_labels(path: str | Path) -> UInt8[np.ndarray, "h w"]:
  """A label file as object ids: the palette indices, not the colours.

  Reads palette PNGs of 1, 2, 4 and 8 bits, and gray ones, whose alpha channel is
  dropped as in the official loaders. A gray image of the values 0 and 255 alone is a
  binary mask (DAVIS 2016) and becomes 0 and 1; otherwise 255 is void and stays.

  Raises:
    OSError: the file cannot be opened.
    ValueError: the file contains colours, soft values or lossy compression instead of
      ids, or is incomplete; the message names the file and the remedy.
  """
  return decode_labels(Path(path).read_bytes(), str(path))


def decode_labels(data: bytes, name: str) -> UInt8[np.ndarray, "h w"]:
  """`read_labels` of the bytes of a file; `name` is for error messages."""
  indices = decode_indices(data)
  if indices is not None:
    return indices
  image = open_image(data, name)
  if image.format == "JPEG":
    raise ValueError(
      f"{name}: a label map as JPEG, whose compression changes ids. Save the original "
      "mask as palette PNG."
    )
  values = np.asarray(image)
  if image.mode == "P":
    return values
  if image.mode == "PA":
    return values[:, :, 0]
  return _gray_labels(values, image.mode, name)


def _gray_labels(values: np.ndarray, mode: str, name: str) -> np.ndarray:
  if mode in ("RGB", "RGBA"):
    colors = values[:, :, :3]
    if (colors != colors[:, :, :1]).any():
      raise ValueError(
        f"{name}: a label map of {mode} colours, expected object ids (palette or "
        "gray PNG, 0 = background). Save it in palette mode, one index per "
        "object: with Pillow, Image.fromarray(ids_uint8, mode='P')."
      )
    values = colors[:, :, 0]  # gray saved as colour
  elif mode == "LA":
    values = values[:, :, 0]
  elif mode not in ("1", "L") and not mode.startswith("I;16"):
    raise ValueError(
      f"{name}: a label map of mode {mode}, expected a palette or gray PNG of "
      "object ids, 0 = background. Save it in palette mode."
    )
  ids = np.flatnonzero(np.bincount(values.reshape(-1)))
  if ids[-1] > 255:
    raise ValueError(
      f"{name}: object id {ids[-1]} in a 16-bit label map, ids are 0 to 255 "
      "(255 = void). Renumber the objects and save 8 bits."
    )
  if len(ids) > _MAX_GRAY_VALUES:
    raise ValueError(
      f"{name}: {len(ids)} different gray values, which looks like a soft or "
      "interpolated mask instead of object ids. Resize masks with nearest "
      "neighbour, or threshold this one."
    )
  if ids[-1] == 255 and set(ids) <= {0, 255}:
    return (values != 0).astype(np.uint8)
  return values.astype(np.uint8)
