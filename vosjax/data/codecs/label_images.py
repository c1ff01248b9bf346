"""Label maps from image files, or one clear line on what is wrong."""

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps

from vosjax.data.codecs import label_colors, png, usual_palettes
from vosjax.data.codecs.images import open_image
from vosjax.data.codecs.label_values import (
  Color,
  Interpretation,
  interpret_gray,
  interpret_numbers,
)

# In the order in which they are preferred to others of the same name
IMAGE_SUFFIXES = (".png", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".jpg", ".jpeg")
NUMPY_SUFFIX = ".npy"
_NUMPY_MAGIC = b"\x93NUMPY"


def read_labels(path: str | Path) -> UInt8[np.ndarray, "h w"]:
  """A label file as object ids.

  Reads palette images of the usual palettes, whose indices are ids, gray images, NumPy
  arrays (.npy), and what `interpret` makes of others. A gray image of the values 0 and
  255 alone is a binary mask (DAVIS 2016) and becomes 0 and 1; otherwise 255 is void and
  stays. `read_mask` also says what was done to get ids.

  Raises:
    OSError: the file cannot be opened.
    ValueError: the file contains no ids, and none that can be told for sure, or is
      incomplete; the message names the file and the remedy.
  """
  return read_mask(path).labels


def decode_labels(data: bytes, name: str) -> UInt8[np.ndarray, "h w"]:
  """`read_labels` of the bytes of a file; `name` is for error messages."""
  return decode_mask(data, name).labels


def read_mask(
  path: str | Path, numbers: Mapping[Color, int] | None = None
) -> Interpretation:
  """`read_labels`, with a note on what was done.

  Args:
    path: of the file.
    numbers: ids by colour, from `usual_palettes.number_colors`, for a video whose
      objects are told by colours that are in no usual palette.

  Raises:
    OSError: the file cannot be opened.
    ValueError: see `read_labels`.
  """
  with open(path, "rb", buffering=0) as file:
    return decode_mask(file.read(), str(path), numbers)


def decode_mask(
  data: bytes, name: str, numbers: Mapping[Color, int] | None = None
) -> Interpretation:
  """`read_mask` of the bytes of a file; `name` is for error messages."""
  indexed = png.decode_indexed(data)
  try:
    if indexed is not None:
      return label_colors.interpret_palette(*indexed, numbers)
    if data[: len(_NUMPY_MAGIC)] == _NUMPY_MAGIC and numbers is None:
      return interpret_numbers(_decode_array(data))
    image = open_image(data, name)
  except ValueError as error:
    raise _named(error, name) from None
  try:
    return interpret(image, numbers)
  except ValueError as error:
    raise _named(error, name) from None


def interpret(
  image: Image.Image, numbers: Mapping[Color, int] | None = None
) -> Interpretation:
  """The object ids of a decoded image, upright as its metadata says.

  Args:
    image: of any mode.
    numbers: see `read_mask`.

  Raises:
    ValueError: see `read_labels`; the message is the reason alone.
  """
  if (number := getattr(image, "n_frames", 1)) > 1:
    raise ValueError(
      f"{number} images in one file, expected one. Save one file per frame."
    )
  lossy = image.format == "JPEG"
  image = ImageOps.exif_transpose(image)
  if image.mode == "PA":
    image = image.convert("RGBA")
  if image.mode == "P":
    alpha = image.info.get("transparency", b"")
    if isinstance(alpha, int):
      alpha = b"\xff" * alpha + b"\0"
    return label_colors.interpret_palette(
      np.asarray(image), _color_table(image), alpha, numbers
    )
  if numbers is not None:
    if image.mode not in ("1", "L", "LA", "RGB", "RGBA"):
      raise ValueError(
        f"a mask of mode {image.mode} among coloured ones. Save it as RGB, like them."
      )
    image = image.convert("RGBA")
  if image.mode == "L":
    return interpret_gray(np.asarray(image), lossy=lossy)
  if image.mode == "1" or image.mode in ("I", "F") or image.mode.startswith("I;16"):
    return interpret_numbers(np.asarray(image))
  if image.mode in ("LA", "La", "RGBA", "RGBa"):
    rgba = np.asarray(image if image.mode == "RGBA" else image.convert("RGBA"))
    return label_colors.interpret_transparent(rgba, numbers)
  if image.mode == "RGB":
    return label_colors.interpret_colors(np.asarray(image), numbers, lossy=lossy)
  raise ValueError(
    f"a label map of mode {image.mode}, expected a palette or gray PNG of object ids, "
    "0 = background. Save it in palette mode."
  )


def count_border_colors(data: bytes, name: str) -> tuple[dict[Color, int], bool]:
  """The colours of a mask, for `usual_palettes.number_colors`.

  Returns:
    Pixels at the border by colour, and whether ids are told by colours: not in a gray
    image, nor in one with a usual palette.

  Raises:
    ValueError: the file is no image of 8 bits, or a photo; the message names it.
  """
  if data[: len(_NUMPY_MAGIC)] == _NUMPY_MAGIC:
    return {}, False
  image = open_image(data, name)
  if image.mode not in ("1", "L", "LA", "P", "PA", "RGB", "RGBA"):
    return {}, False
  rgba = np.array(image.convert("RGBA"))
  rgba[rgba[:, :, 3] < 128] = 0
  colors = rgba[:, :, :3]
  coloured = bool((colors != colors[:, :, :1]).any())
  if image.mode == "P":
    used = np.asarray(image).max()
    coloured &= bool(used >= usual_palettes.num_standard(_color_table(image)))
  try:
    return label_colors.count_border(colors), coloured
  except ValueError as error:
    raise _named(error, name) from None


def _color_table(image: Image.Image) -> bytes:
  """Red, green and blue of each index of a palette image."""
  return bytes(image.getpalette() or ())


def _decode_array(data: bytes) -> np.ndarray:
  try:
    array = np.load(io.BytesIO(data), allow_pickle=False)
  except Exception as error:  # NumPy parses a header as Python, which raises anything
    raise ValueError(f"not a complete NumPy array ({error}). Save it again.") from None
  if array.ndim != 2:
    raise ValueError(
      f"an array of shape {array.shape}, expected object ids of shape (height, width). "
      "Save one array per frame."
    )
  return array


def _named(error: ValueError, name: str) -> ValueError:
  """The same error, with the name of the file if it has none."""
  text = str(error)
  return error if text.startswith(f"{name}: ") else type(error)(f"{name}: {text}")
