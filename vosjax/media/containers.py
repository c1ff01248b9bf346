"""Whether a video file was cut off, from the lengths that its container states.

FFmpeg decodes what is there and says nothing, because a file may still be growing.
"""

import pathlib
import struct
from typing import BinaryIO

# Boxes of the outermost level of an MP4 or MOV file
_BOXES = (b"ftyp", b"moov", b"mdat", b"moof", b"free", b"skip", b"wide", b"sidx")
_EBML = b"\x1a\x45\xdf\xa3"
_SEGMENT = b"\x18\x53\x80\x67"
_TS_SYNC = 0x47
_TS_PACKETS = ((0, 188), (4, 192))  # (offset of the sync byte, length of a packet)


def cut_off(path: pathlib.Path) -> str | None:
  """Why a file must be incomplete, as a clause; None if nothing says so."""
  size = path.stat().st_size
  with path.open("rb") as file:
    start = file.read(1024)
    if start[4:8] in _BOXES:
      return _cut_boxes(file, size)
    if start[:4] == b"RIFF":
      stated = struct.unpack("<I", start[4:8])[0] + 8 if len(start) >= 8 else 0
      unknown = stated >= 2**32
      return None if unknown or stated <= size else _missing(stated - size)
    if start[:4] == _EBML:
      return _cut_segment(start, size)
    for offset, length in _TS_PACKETS:
      syncs = start[offset : 5 * length : length]
      if len(syncs) == 5 and set(syncs) == {_TS_SYNC} and size % length:
        return "it ends in the middle of a packet"
  return None


def has_no_index(path: pathlib.Path) -> bool:
  """Whether an MP4 or MOV file lacks `moov`, which tells where its frames are."""
  with path.open("rb") as file:
    kinds = {kind for kind, _, _ in _boxes(file, path.stat().st_size)}
  return bool(kinds & {b"ftyp", b"mdat"}) and not kinds & {b"moov", b"moof"}


def _cut_boxes(file: BinaryIO, size: int) -> str | None:
  for _, position, length in _boxes(file, size):
    if position + length > size:
      return _missing(position + length - size)
  return None


def _boxes(file: BinaryIO, size: int) -> list[tuple[bytes, int, int]]:
  """(kind, position, length) of the outermost boxes, up to one that is unknown."""
  found: list[tuple[bytes, int, int]] = []
  position = 0
  while position + 8 <= size:
    file.seek(position)
    header = file.read(16)
    length, kind = struct.unpack(">I4s", header[:8])
    if kind not in _BOXES:
      break
    if length == 1 and len(header) == 16:
      length = struct.unpack(">Q", header[8:])[0]
    elif length == 0:  # up to the end of the file
      length = size - position
    if length < 8:
      break
    found.append((kind, position, length))
    position += length
  return found


def _cut_segment(start: bytes, size: int) -> str | None:
  """Compares the length of a Matroska segment, if it is stated, with the file's."""
  position = start.find(_SEGMENT)
  first = start[position + 4] if 0 <= position < len(start) - 12 else 0
  if not first:
    return None
  width = 9 - first.bit_length()  # of a number that begins with width - 1 zeros
  digits = start[position + 4 : position + 4 + width]
  length = int.from_bytes(digits, "big") & ((1 << 7 * width) - 1)
  if length == (1 << 7 * width) - 1:
    return None  # not known when it was written, as in a live recording
  end = position + 4 + width + length
  return _missing(end - size) if end > size else None


def _missing(count: int) -> str:
  return f"its last {count:,} bytes are missing"
