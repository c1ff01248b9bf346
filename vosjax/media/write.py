"""Results on disk: palette PNGs and an overlay video, whole or not at all."""

import contextlib
import io
import pathlib
from collections.abc import Callable, Iterator
from fractions import Fraction

import numpy as np
from jaxtyping import Integer, UInt8
from PIL import Image

from vosjax import files, viz


def write_labels(path: pathlib.Path, labels: Integer[np.ndarray, "h w"]) -> None:
  """Writes labels as a PNG with the DAVIS palette, atomically.

  Raises:
    ValueError: an id does not fit in 0 to 255.
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
  """Gives a function that appends RGB frames to an H.264 film.

  Every browser and player shows the result. Odd sizes grow by repeating the last row
  or column, as the format needs even ones.

  Args:
    path: of an .mp4 file, which appears when the block ends well.
    size: height and width of the frames.
    frames_per_second: how fast it plays.
  """
  import av  # heavy, and only videos need it

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

      def write(frame):
        even = np.pad(frame, padding, mode="edge")
        picture = av.VideoFrame.from_ndarray(even, format="rgb24")
        container.mux(stream.encode(picture))

      yield write
      container.mux(stream.encode(None))  # what the encoder holds back
  except av.FFmpegError as error:
    raise OSError(error.errno, error.strerror, str(path)) from error
