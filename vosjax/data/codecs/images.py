"""Images from files, or one clear line on what is wrong."""

import io
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, UnidentifiedImageError


def read_image(path: str | Path) -> UInt8[np.ndarray, "h w 3"]:
  """An image file as RGB; gray, palette, CMYK and 16-bit gray are converted.

  Raises:
    OSError: the file cannot be opened.
    ValueError: the image is incomplete, partly transparent, or of a kind that has no
      single meaning in 8 bits; the message names the file.
  """
  return decode_image(Path(path).read_bytes(), str(path))


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
