"""Writes palette PNGs and overlay videos, completely or not at all."""

import contextlib
import io
import pathlib
from collections.abc import Callable, Iterator
from fractions import Fraction

import numpy as np
from jaxtyping import Integer, UInt8
from PIL import Image

from vosjax import files, viz
from vosjax.media.pyav import load_pyav


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
  image.save(buffer, "PNG")
  files.write_bytes(path, buffer.getvalue())


@contextlib.contextmanager
def video_writer(
  path: pathlib.Path, size: tuple[int, int], frames_per_second: float
) -> Iterator[Callable[[UInt8[np.ndarray, "h w 3"]], None]]:
  """Yields a function that appends an RGB frame to an H.264 video.

  All common browsers and players can play the result. The format requires even sizes:
  odd ones are padded by repeating the last row or column.

  Args:
    path: of an .mp4 file, which appears only when the block ends without an error.
    size: (height, width) of the frames.
    frames_per_second: the speed at which the video plays.

  Raises:
    OSError: the file cannot be written.
    ValueError: PyAV is not installed.
  """
  av = load_pyav("videos")

  height, width = size
  padding = ((0, height % 2), (0, width % 2), (0, 0))
  try:
    with (
      files.replacing(path) as draft,
      av.open(str(draft), "w", options={"movflags": "+faststart"}) as container,
    ):
      rate = Fraction(frames_per_second).limit_denominator(1001)
      stream = container.add_stream(
        "libx264", rate, options={"crf": "20", "preset": "veryfast"}
      )
      stream.height, stream.width = height + height % 2, width + width % 2
      stream.pix_fmt = "yuv420p"

      def write(frame: UInt8[np.ndarray, "h w 3"]) -> None:
        padded = np.pad(frame, padding, mode="edge")
        image = av.VideoFrame.from_ndarray(padded, format="rgb24")
        container.mux(stream.encode(image))

      yield write
      container.mux(stream.encode(None))  # flushes the encoder
  except av.FFmpegError as error:
    raise OSError(error.errno, error.strerror, str(path)) from error
