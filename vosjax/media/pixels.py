"""Decoded frames of FFmpeg as upright RGB images of 8 bits."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import UInt8, UInt16

from vosjax.data.codecs import images

if TYPE_CHECKING:
  import av

_NEUTRAL_CHROMA = 1 << 15  # of 16 bits


class Orientation(NamedTuple):
  """How a stored image must be turned to be shown: transposed first, then mirrored."""

  transpose: bool = False
  flip_rows: bool = False
  flip_columns: bool = False

  def apply(self, image: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h2 w2 3"]:
    """The upright image."""
    if self.transpose:
      image = image.transpose(1, 0, 2)
    image = image[:: -1 if self.flip_rows else 1, :: -1 if self.flip_columns else 1]
    return np.ascontiguousarray(image)

  def describe(self) -> tuple[str, ...]:
    """In words; empty if nothing is changed."""
    turns: dict[tuple[bool, bool, bool], tuple[str, ...]] = {
      (False, False, False): (),
      (False, True, True): ("rotated 180 degrees",),
      (True, False, True): ("rotated 90 degrees clockwise",),
      (True, True, False): ("rotated 90 degrees counterclockwise",),
      (False, False, True): ("mirrored",),
      (False, True, False): ("mirrored upside down",),
    }
    return turns.get(self, ("rotated 90 degrees and mirrored",))


def orientation_of(frame: "av.VideoFrame") -> Orientation:
  """The orientation that the container's display matrix gives a frame.

  It is the same for all frames of a file. To look at one is enough, and better: PyAV
  links a frame to its side data in a circle, so that its memory is freed late.
  """
  from av.sidedata.sidedata import Type

  data = frame.side_data.get(Type.DISPLAYMATRIX)  # type: ignore[call-overload]
  if data is None:
    return Orientation()
  # Shown x' = a x + c y, y' = b x + d y; other columns do not matter here.
  a, b, _, c, d = np.frombuffer(bytes(data), np.int32)[:5].tolist()
  if abs(a) + abs(d) >= abs(b) + abs(c):
    return Orientation(False, d < 0, a < 0)
  return Orientation(True, b < 0, c < 0)


def upright_size(frame: "av.VideoFrame", orientation: Orientation) -> tuple[int, int]:
  """(height, width) of a frame after it has been turned."""
  size = frame.height, frame.width
  return size[::-1] if orientation.transpose else size


def to_rgb(
  frame: "av.VideoFrame", orientation: Orientation, bits: int = 16
) -> UInt8[np.ndarray, "h w 3"]:
  """The upright RGB image of a frame.

  Args:
    frame: as FFmpeg decoded it.
    orientation: of the video.
    bits: of a frame with 16 bits a value, those that hold its values.
  """
  deep = deep_values(frame) if bits < 16 else None
  if deep is None:
    image = np.asarray(_converted(frame, "rgb24"), np.uint8)
  else:
    image = images.to_8_bits(deep, bits)
    if image.ndim == 2:
      image = np.repeat(image[:, :, None], 3, axis=2)
  return orientation.apply(image)


def deep_values(frame: "av.VideoFrame") -> UInt16[np.ndarray, "h w *rgb"] | None:
  """Gray or RGB values as stored in 16 bits; None for a frame of any other format.

  Gray may be stored as a luma plane whose chroma says nothing.
  """
  name = frame.format.name
  if not name.endswith(("16le", "16be")):
    return None
  if name.startswith(("rgb", "bgr", "gbr")):
    return _converted(frame, "rgb48le")
  if name.startswith("gray") or (name.startswith("yuv") and not _has_color(frame)):
    return _plane(frame, 0)
  return None


def _converted(frame: "av.VideoFrame", pixel_format: str) -> np.ndarray:
  """The values of a frame in another pixel format.

  The frame's own method keeps a converter with a thread for each core as long as the
  frame, and hundreds of frames are remembered. One thread is as fast or faster.
  """
  from av.video.reformatter import VideoReformatter

  return VideoReformatter().reformat(frame, format=pixel_format, threads=1).to_ndarray()


def _has_color(frame: "av.VideoFrame") -> bool:
  return any((_plane(frame, chroma) != _NEUTRAL_CHROMA).any() for chroma in (1, 2))


def _plane(frame: "av.VideoFrame", index: int) -> UInt16[np.ndarray, "h w"]:
  plane = frame.planes[index]
  order = "<u2" if frame.format.name.endswith("le") else ">u2"
  rows = np.frombuffer(memoryview(plane), order).reshape(plane.height, -1)
  return rows[:, : plane.width].astype(np.uint16)


def frame_bytes(frame: "av.VideoFrame") -> int:
  """Memory of a decoded frame."""
  return sum(plane.buffer_size for plane in frame.planes)
