"""Writes palette PNGs and videos, completely or not at all."""

import contextlib
import dataclasses
import io
import pathlib
import zlib
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from typing import Any

import numpy as np
from jaxtyping import Integer, UInt8
from PIL import Image

from vosjax import files, viz
from vosjax.media.pyav import load_pyav

EncoderFrame = Any  # a frame of PyAV, which need not be installed


@dataclasses.dataclass(frozen=True)
class Codec:
  """How a video is encoded.

  Attributes:
    name: of FFmpeg's encoder.
    pixel_format: FFmpeg's name of the format in which pixels are stored.
    options: of the encoder.
    has_alpha: whether frames are RGBA; otherwise they are RGB.
  """

  name: str
  pixel_format: str
  options: Mapping[str, str]
  has_alpha: bool = False


# With macroblock trees, x264 does not always give the same video for the same frames.
H264 = Codec("libx264", "yuv420p", {"crf": "20", "preset": "veryfast", "mbtree": "0"})


def write_labels(path: pathlib.Path, labels: Integer[np.ndarray, "h w"]) -> None:
  """Writes labels as a PNG with the DAVIS palette, atomically.

  Raises:
    ValueError: an id is not in 0 to 255.
  """
  if labels.min() < 0 or labels.max() > 255:
    raise ValueError(
      f"{path}: label {max(labels.max(), -labels.min())} does not fit in a palette "
      "PNG; ids go from 1 to 254."
    )
  image = Image.fromarray(labels.astype(np.uint8))
  image.putpalette(viz.palette().tobytes())
  buffer = io.BytesIO()
  # For labels, run lengths alone make smaller files, and in less than half of the time.
  image.save(buffer, "PNG", compress_type=zlib.Z_RLE)
  files.write_bytes(path, buffer.getvalue())


@contextlib.contextmanager
def video_writer(
  path: pathlib.Path,
  size: tuple[int, int],
  frames_per_second: float,
  codec: Codec = H264,
) -> Iterator[Callable[[UInt8[np.ndarray, "h w c"] | EncoderFrame], None]]:
  """Yields a function that appends a frame to a video.

  A frame is RGB or RGBA, or what `to_video_frame` made of it in another thread.

  All common browsers and players can play H.264 in an .mp4 file. Formats with fewer
  pixels of colour than of brightness require even sizes: odd ones are padded by
  repeating the last row or column.

  Args:
    path: of a file, which appears only when the block ends without an error; its suffix
      says what the container is.
    size: (height, width) of the frames.
    frames_per_second: the speed at which the video plays.
    codec: how frames are encoded.

  Raises:
    OSError: the file cannot be written.
    ValueError: PyAV is not installed, or was built without the codec.
  """
  av = load_pyav("videos")
  require_codec(codec)
  height, width = size
  try:
    with (
      files.replacing(path) as draft,
      open_container(draft) as container,
    ):
      rate = to_rate(frames_per_second)
      stream = container.add_stream(codec.name, rate, options=dict(codec.options))
      stream.height, stream.width = height + height % 2, width + width % 2
      stream.pix_fmt = codec.pixel_format

      def write(frame: UInt8[np.ndarray, "h w c"] | EncoderFrame) -> None:
        if isinstance(frame, np.ndarray):
          frame = to_video_frame(frame, codec)
        container.mux(stream.encode(frame))

      yield write
      container.mux(stream.encode(None))  # flushes the encoder
  except av.FFmpegError as error:
    raise OSError(error.errno, error.strerror, str(path)) from error


def require_codec(codec: Codec) -> None:
  """Checks that this build of PyAV can encode.

  Raises:
    ValueError: PyAV is not installed, or was built without the codec.
  """
  av = load_pyav("videos")
  try:
    av.codec.Codec(codec.name, "w")
  except ValueError as error:
    raise ValueError(
      f"this build of PyAV lacks the encoder {codec.name}, which videos need. Run `pip "
      "install --force-reinstall --no-cache-dir --only-binary av av`, which has it."
    ) from error


def to_video_frame(frame: UInt8[np.ndarray, "h w c"], codec: Codec) -> EncoderFrame:
  """Converts an RGB or RGBA frame to the pixels of a codec, see `video_writer`."""
  height, width, _ = frame.shape
  if height % 2 or width % 2:
    frame = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
  pixels = "rgba" if codec.has_alpha else "rgb24"
  image = load_pyav("videos").VideoFrame.from_ndarray(frame, format=pixels)
  # With several threads, some pixels depend on what was in memory before.
  return image.reformat(format=codec.pixel_format, threads=1)


def to_rate(frames_per_second: float) -> Fraction:
  """The rate as a fraction, such as 30000/1001 for 29.97; at least 1/1001."""
  slowest = Fraction(1, 1001)
  return max(Fraction(frames_per_second).limit_denominator(1001), slowest)


def open_container(path: pathlib.Path) -> Any:
  """PyAV's container for a new video file; players need not read it all to begin."""
  is_mp4 = path.suffix in (".mp4", ".mov")
  options = {"movflags": "+faststart"} if is_mp4 else {}
  # Of a relative path, FFmpeg takes what precedes a colon for a protocol.
  return load_pyav("videos").open(str(path.absolute()), "w", options=options)
