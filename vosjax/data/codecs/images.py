"""Frames and label maps from image files, or one clear line on what is wrong."""

import io
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, UnidentifiedImageError

from vosjax.data.codecs.png import decode_indices

_MAX_GRAY_VALUES = 64  # a mask with more distinct gray values was interpolated


def read_image(path: str | Path) -> UInt8[np.ndarray, "h w 3"]:
  """An image file as RGB; gray, palette, CMYK and 16-bit gray are converted.

  Raises:
    OSError: the file cannot be opened.
    ValueError: the image is incomplete, partly transparent, or of a kind that has no
      single meaning in 8 bits; the message names the file.
  """
  return decode_image(Path(path).read_bytes(), str(path))


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


def image_size(path: str | Path) -> tuple[int, int]:
  """(height, width) from the header of an image file."""
  return _header_size(path, str(path))


def encoded_size(data: bytes, name: str) -> tuple[int, int]:
  """`image_size` of the bytes of a file; `name` is for error messages."""
  return _header_size(io.BytesIO(data), name)


def decode_image(data: bytes, name: str) -> UInt8[np.ndarray, "h w 3"]:
  """`read_image` of the bytes of a file; `name` is for error messages."""
  image = open_image(data, name)
  if image.mode.startswith("I;16"):
    gray = np.asarray(image).astype(np.uint32)
    gray = ((gray + 128) // 257).astype(np.uint8)
    image = Image.fromarray(gray)
  if image.mode in ("I", "F"):
    raise ValueError(
      f"{name}: an image with {image.mode}-mode pixels (32 bits), expected 8-bit "
      "RGB. Save the frame as 8-bit JPEG or PNG."
    )
  if image.has_transparency_data:
    image = image.convert("RGBA")
    if np.asarray(image.getchannel("A")).min() < 255:
      raise ValueError(
        f"{name}: a partly transparent image, expected opaque RGB. Flatten it "
        "onto a background and save it without alpha."
      )
  return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


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


def open_image(data: bytes, name: str) -> Image.Image:
  """The decoded image in the mode of its file; ValueError if it is incomplete."""
  try:
    image = Image.open(io.BytesIO(data))
    image.load()
  except (OSError, SyntaxError, ValueError) as error:
    raise ValueError(_corrupt(name, str(error).split("<")[0].strip())) from None
  return image


def _header_size(file: str | Path | io.BytesIO, name: str) -> tuple[int, int]:
  try:
    with Image.open(file) as image:
      return image.height, image.width
  except UnidentifiedImageError:
    raise ValueError(_corrupt(name, "no known image format")) from None
  except (OSError, SyntaxError) as error:
    if isinstance(error, OSError) and error.errno is not None:
      raise  # the system's, and not about a broken header
    raise ValueError(_corrupt(name, str(error))) from None


def _corrupt(name: str, reason: str) -> str:
  return f"{name}: not a complete image ({reason}). Copy or export the file again."
