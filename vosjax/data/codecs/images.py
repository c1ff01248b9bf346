"""Images from files, or one clear line on what is wrong."""

import io
import struct
from pathlib import Path

import numpy as np
from jaxtyping import UInt8, UInt16
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

# Of the files that `read_image` reads, in lower case
SUFFIXES = (
  ".jpg",
  ".jpeg",
  ".png",
  ".bmp",
  ".webp",
  ".tif",
  ".tiff",
  ".ppm",
  ".pgm",
  ".jp2",
  ".avif",
  ".heic",
  ".heif",
)
# What Pillow raises on corrupt files, apart from errors of the system
_CORRUPT = (
  ArithmeticError,
  EOFError,
  Image.DecompressionBombError,
  LookupError,
  OSError,
  RuntimeError,
  SyntaxError,
  TypeError,
  ValueError,
  struct.error,
)
# Bits of cameras whose values are stored in 16 bits; larger values use all 16.
_SENSOR_BITS = (8, 10, 12, 14)
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_COLORS = (2, 6)  # colour types with red, green and blue values
_TIFF_BITS_PER_SAMPLE = 258
_HEIC_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")
_UPRIGHT = 1
_SWAPS_AXES = (5, 6, 7, 8)  # EXIF orientations that turn by a quarter


def read_image(path: str | Path, bits: int = 16) -> UInt8[np.ndarray, "h w 3"]:
  """An image file as RGB, upright as its EXIF orientation says.

  Gray, palette, CMYK and 16-bit gray are converted.

  Args:
    path: of the file.
    bits: of 16-bit gray, the bits that hold its values, see `significant_bits`.

  Raises:
    OSError: the file cannot be opened.
    ValueError: the image is incomplete, partly transparent, or of a kind that has no
      single meaning in 8 bits; the message names the file.
  """
  return decode_image(Path(path).read_bytes(), str(path), bits)


def image_size(path: str | Path) -> tuple[int, int]:
  """(height, width) from the header of an image file, as `read_image` turns it."""
  return _header_size(path, str(path))


def encoded_size(data: bytes, name: str) -> tuple[int, int]:
  """`image_size` of the bytes of a file; `name` is for error messages."""
  return _header_size(io.BytesIO(data), name)


def decode_image(data: bytes, name: str, bits: int = 16) -> UInt8[np.ndarray, "h w 3"]:
  """`read_image` of the bytes of a file; `name` is for error messages."""
  image = open_image(data, name)
  if image.mode.startswith("I;16"):
    image = Image.fromarray(to_8_bits(np.asarray(image).astype(np.uint16), bits))
  return to_rgb(image, name)


def to_rgb(image: Image.Image, name: str) -> UInt8[np.ndarray, "h w 3"]:
  """The RGB pixels of a decoded image of 8 bits; `name` is for error messages.

  Raises:
    ValueError: the image is partly transparent or has more bits.
  """
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


def check_opaque(path: str | Path) -> None:
  """Checks that a file has no transparent pixel; most are known from the header.

  Raises:
    ValueError: the image is partly transparent.
  """
  with _open_header(path, str(path)) as image:
    if image.has_transparency_data:
      to_rgb(image, str(path))


def is_16_bit_gray(path: str | Path) -> bool:
  """Whether a file holds 16-bit gray, from its header."""
  with _open_header(path, str(path)) as image:
    return image.mode.startswith("I;16")


def is_16_bit_color(path: str | Path) -> bool:
  """Whether a PNG or TIFF holds colours of 16 bits, of which 8 are read."""
  with open(path, "rb") as file:
    start = file.read(32)
  if start.startswith(_PNG_SIGNATURE):
    return start[24] == 16 and start[25] in _PNG_COLORS
  with _open_header(path, str(path)) as image:
    bits = getattr(image, "tag_v2", {}).get(_TIFF_BITS_PER_SAMPLE, ())
    return 16 in bits and image.mode.startswith("RGB")


def significant_bits(largest: int) -> int:
  """How many of 16 bits a camera used, from the largest value of a whole video."""
  return next((bits for bits in _SENSOR_BITS if 0 < largest < 1 << bits), 16)


def largest_value(path: str | Path) -> int:
  """The largest value in an image file; of 16-bit colours, of the 8 bits that are read.

  Raises:
    ValueError: the image is incomplete; the message names the file.
  """
  image = open_image(Path(path).read_bytes(), str(path))
  return int(np.asarray(image.convert("RGB") if image.mode == "RGBA" else image).max())


def to_8_bits(values: UInt16[np.ndarray, "..."], bits: int) -> UInt8[np.ndarray, "..."]:
  """Scales values of so many bits to 0 to 255; larger ones become 255."""
  largest = (1 << bits) - 1
  scaled = (values.astype(np.uint32) * 255 + largest // 2) // largest
  return np.minimum(scaled, 255).astype(np.uint8)


def check_complete(path: str | Path) -> None:
  """Requires that a file is not cut off, without decoding where that can be told.

  Raises:
    OSError: the file cannot be opened.
    ValueError: the image is incomplete; the message names the file.
  """
  with open(path, "rb") as file:
    start = file.read(8)
    size = file.seek(0, io.SEEK_END)
    file.seek(max(0, size - 64))
    end = file.read().rstrip(b"\0")
  if start.startswith(b"\xff\xd8\xff") and end.endswith(b"\xff\xd9"):
    return  # JPEG from its first to its last marker
  if start == _PNG_SIGNATURE:
    try:
      with Image.open(path) as image:
        image.verify()  # compares checksums
      return
    except _CORRUPT:
      pass  # decoding says what is wrong
  open_image(Path(path).read_bytes(), str(path))


def oriented(image: Image.Image) -> Image.Image:
  """The image turned and mirrored as its EXIF orientation says, in place."""
  if _orientation(image) != _UPRIGHT:
    ImageOps.exif_transpose(image, in_place=True)
  return image


def open_image(data: bytes, name: str) -> Image.Image:
  """The decoded image, upright, in the mode of its file.

  Raises:
    ValueError: the image is incomplete or of an unknown format.
  """
  try:
    _know_heic(data)
    image = Image.open(io.BytesIO(data))
    image.load()
  except UnidentifiedImageError:
    raise ValueError(_unknown(name, data)) from None
  except _CORRUPT as error:
    raise ValueError(_corrupt(name, str(error).split("<")[0].strip())) from None
  return oriented(image)


def _header_size(file: str | Path | io.BytesIO, name: str) -> tuple[int, int]:
  with _open_header(file, name) as image:
    size = image.height, image.width
    return size[::-1] if _is_turned(image) else size


def _open_header(file: str | Path | io.BytesIO, name: str) -> Image.Image:
  """An image whose pixels are not read yet.

  Raises:
    OSError: the file cannot be opened.
    ValueError: the header is corrupt, or of no known format; the message has the name.
  """
  try:
    return Image.open(file)
  except UnidentifiedImageError:
    data = file.getvalue() if isinstance(file, io.BytesIO) else Path(file).read_bytes()
    if _know_heic(data):
      return _open_header(file, name)
    raise ValueError(_unknown(name, data)) from None
  except _CORRUPT as error:
    if isinstance(error, OSError) and error.errno is not None:
      raise  # the system's, and not about a broken header
    raise ValueError(_corrupt(name, str(error))) from None


def _is_turned(image: Image.Image) -> bool:
  """Whether an image that is not decoded yet will be turned by a quarter."""
  if image.format == "TIFF":
    return False  # Pillow has done it
  if image.format == "PNG" and not {"exif", "xmp"} & image.info.keys():
    return False  # Pillow would decode the image to find them
  return _orientation(image) in _SWAPS_AXES


def _orientation(image: Image.Image) -> int:
  """The EXIF orientation; corrupt metadata do not make an image unusable."""
  try:
    return image.getexif().get(ExifTags.Base.Orientation, _UPRIGHT)
  except _CORRUPT:
    return _UPRIGHT


def _know_heic(data: bytes) -> bool:
  """Lets Pillow read HEIC if the bytes are such a file and pillow-heif is there."""
  if not _is_heic(data):
    return False
  try:
    import pillow_heif
  except ImportError:
    return False
  pillow_heif.register_heif_opener()
  return True


def _is_heic(data: bytes) -> bool:
  return data[4:8] == b"ftyp" and data[8:12] in _HEIC_BRANDS


def _unknown(name: str, data: bytes) -> str:
  if _is_heic(data):
    return (
      f"{name}: a HEIC image, which needs pillow-heif. Run `pip install pillow-heif`, "
      "or save it as JPEG."
    )
  if not data:
    return _corrupt(name, "the file is empty")
  return _corrupt(name, "no known image format")


def _corrupt(name: str, reason: str) -> str:
  return f"{name}: not a complete image ({reason}). Copy or export the file again."
