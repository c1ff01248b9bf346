"""What requests and answers hold: checks of what comes, and bodies of what goes."""

import gzip
import json
from typing import Any

import numpy as np
from jaxtyping import Shaped, UInt8
from PIL import Image
from starlette.requests import Request
from starlette.responses import Response

from vosjax.data.codecs import images, label_images
from vosjax.labels import VOID

_JSON_LIMIT = 1_000_000  # bytes
_MASK_PIXEL_BYTES = 8  # four channels of 16 bits, not compressed
_MASK_HEADER_BYTES = 1_000_000  # and palettes, colour profiles, notes of cameras


async def read_body(request: Request, limit: int, what: str) -> bytes:
  """The body of a request.

  Args:
    request: whose body has not been read.
    limit: bytes after which reading stops.
    what: the body should be, for the error message.

  Raises:
    ValueError: it is larger.
  """
  body = bytearray()
  async for chunk in request.stream():
    body += chunk
    if len(body) > limit:
      raise ValueError(f"more than {limit:,} bytes were sent, too many for {what}.")
  return bytes(body)


async def read_json(request: Request) -> Any:
  """The JSON value that a request brings.

  Raises:
    ValueError: it is none, or too large.
  """
  try:
    return json.loads(await read_body(request, _JSON_LIMIT, "JSON"))
  except (ValueError, RecursionError):
    raise ValueError("the body is not JSON of a reasonable size.") from None


async def read_object(request: Request) -> dict[str, Any]:
  """The JSON object that a request brings.

  Raises:
    ValueError: it is none.
  """
  value = await read_json(request)
  if not isinstance(value, dict):
    raise ValueError("the body is not a JSON object.")
  return value


def parse_numbers(text: str) -> list[int]:
  """Numbers of objects, separated by commas.

  Raises:
    ValueError: the text is something else.
  """
  try:
    return [int(part) for part in text.split(",") if part]
  except ValueError:
    raise ValueError(f"objects are {text!r}; expected numbers like 1,2.") from None


def is_int(value: Any) -> bool:
  """Whether a JSON value is an integer of a reasonable size."""
  return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**31


def jpeg_answer(data: bytes) -> Response:
  """An image that the browser may keep: its address names the version of the video."""
  headers = {"Cache-Control": "private, max-age=3600"}
  return Response(data, media_type="image/jpeg", headers=headers)


def bytes_answer(array: Shaped[np.ndarray, "h w"]) -> Response:
  """Labels or a mask, one byte a pixel, row by row."""
  data = gzip.compress(array.astype(np.uint8).tobytes(), compresslevel=1)
  headers = {"Content-Encoding": "gzip"}
  return Response(data, media_type="application/octet-stream", headers=headers)


def mask_limit(size: tuple[int, int]) -> int:
  """The most bytes of an image file that can be the mask of a frame of this size."""
  return _MASK_PIXEL_BYTES * size[0] * size[1] + _MASK_HEADER_BYTES


def read_mask(
  data: bytes, size: tuple[int, int]
) -> tuple[UInt8[np.ndarray, "h w"], str]:
  """Labels of an image file, and a note on what was done to get them.

  Args:
    data: of the file.
    size: (height, width) that it must have.

  Raises:
    ValueError: it has another size, or is not a mask.
  """
  name = "the mask"
  try:
    found = images.encoded_size(data, name)  # from the header, before it is decoded
  except Image.DecompressionBombError:
    raise ValueError("the mask has far too many pixels.") from None
  if tuple(found) != tuple(size):
    raise ValueError(
      f"the mask is {found[1]}x{found[0]}, but frames are {size[1]}x{size[0]}."
    )
  mask = label_images.decode_mask(data, name)
  return np.where(mask.labels == VOID, np.uint8(0), mask.labels), mask.note
