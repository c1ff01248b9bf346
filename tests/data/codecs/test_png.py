"""The fast decoder agrees with Pillow, or leaves the file to it."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from vosjax.data.codecs.png import decode_indexed


def png(indices, mode="P", **options):
  image = Image.fromarray(indices).convert("L")
  if mode == "P":
    image.putpalette(bytes(range(256)) * 3)
  file = io.BytesIO()
  image.convert(mode).save(file, "PNG", **options)
  return file.getvalue()


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (480, 854)])
def test_indices_are_those_of_pillow(size):
  rng = np.random.default_rng(0)
  indices = rng.integers(0, 256, size, dtype=np.uint8)
  data = png(indices)
  assert data.count(b"IDAT") == 1 or size == (480, 854)  # several are joined
  decoded = decode_indexed(data).indices
  np.testing.assert_array_equal(decoded, np.asarray(Image.open(io.BytesIO(data))))
  np.testing.assert_array_equal(decoded, indices)
  assert decoded.flags.c_contiguous


@pytest.mark.parametrize("mode, options", [("P", {"bits": 4}), ("L", {}), ("RGB", {})])
def test_other_pngs_are_left_to_pillow(mode, options):
  assert decode_indexed(png(np.full((9, 7), 3, np.uint8), mode, **options)) is None


def test_rows_that_are_filtered_are_left_to_pillow():
  def chunk(kind, body):
    checksum = zlib.crc32(kind + body)
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", checksum)

  def stored(kind_of_filter):
    rows = zlib.compress(bytes([kind_of_filter, 1, 2, 3]) * 4)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
      chunk(*parts)
      for parts in (
        (b"IHDR", struct.pack(">IIBBBBB", 3, 4, 8, 3, 0, 0, 0)),
        (b"PLTE", bytes(range(30))),
        (b"IDAT", rows),
        (b"IEND", b""),
      )
    )

  np.testing.assert_array_equal(decode_indexed(stored(0)).indices, [[1, 2, 3]] * 4)
  assert np.asarray(Image.open(io.BytesIO(stored(1))))[0].tolist() == [1, 3, 6]
  assert decode_indexed(stored(1)) is None


def test_any_damage_is_left_to_pillow():
  data = png(np.arange(5000, dtype=np.uint8).reshape(50, 100))
  assert decode_indexed(data) is not None
  assert decode_indexed(b"GIF89a") is None
  for length in range(0, len(data), 7):
    assert decode_indexed(data[:length]) is None
  for position in range(0, len(data) - 12, 5):  # the last chunk is empty
    damaged = bytearray(data)
    damaged[position] ^= 0x10
    assert decode_indexed(bytes(damaged)) is None, position
