"""Animated WebP images, which Pillow reads and FFmpeg does not."""

import dataclasses
import functools
import pathlib
import threading
from typing import Any

import numpy as np
from jaxtyping import Float64, UInt8
from PIL import Image, ImageSequence

from vosjax.data.codecs import images
from vosjax.media.video_frames import VideoFrames


@dataclasses.dataclass(frozen=True)
class AnimatedImage(VideoFrames):
  """The frames of an animated image, named 00000, 00001 and so on.

  Attributes:
    starts: the second at which each frame is shown.
  """

  files: tuple[pathlib.Path]
  frame_names: tuple[str, ...]
  size: tuple[int, int]
  frames_per_second: float
  warnings: tuple[str, ...]
  details: tuple[str, ...]
  starts: tuple[float, ...]
  _lock: Any = dataclasses.field(
    default_factory=threading.Lock, repr=False, compare=False
  )

  @property
  def name(self) -> str:
    return str(self.files[0])

  @property
  def times(self) -> Float64[np.ndarray, " n"]:
    return np.asarray(self.starts, np.float64)

  def _read(self, index: int) -> UInt8[np.ndarray, "h w 3"]:
    with self._lock:
      try:
        self._image.seek(index)
        return images.to_rgb(self._image, f"{self.name}: frame {index}")
      except (OSError, EOFError, SyntaxError) as error:
        raise ValueError(f"{self.name}: frame {index} is damaged ({error}).") from error

  @functools.cached_property
  def _image(self) -> Image.Image:
    return Image.open(self.files[0])


def is_animation(path: pathlib.Path) -> bool:
  """Whether a file is a WebP image."""
  with path.open("rb") as file:
    start = file.read(12)
  return start[:4] == b"RIFF" and start[8:] == b"WEBP"


def read_animation(path: pathlib.Path, *, allow_damaged: bool) -> AnimatedImage:
  """Decodes an animation once, for the times of its frames and to find damage.

  Raises:
    ValueError: it is damaged, unless that is allowed and a frame can be decoded.
  """
  durations: list[float] = []
  problem = None
  size = images.image_size(path)
  try:
    with Image.open(path) as image:
      for frame in ImageSequence.Iterator(image):
        frame.load()
        images.to_rgb(frame, f"{path}: frame {len(durations)}")  # or it is refused
        durations.append(frame.info.get("duration", 0) / 1000)
  except (OSError, EOFError, SyntaxError) as error:
    problem = f"{path}: cannot be decoded from frame {len(durations)} on ({error})"
  if problem and not (allow_damaged and durations):
    raise ValueError(
      f"{problem}. Copy or export the file again, or give --allow-damaged to go on "
      f"with {len(durations)} frames."
    )
  total = sum(durations)
  return AnimatedImage(
    (path,),
    tuple(f"{number:05d}" for number in range(len(durations))),
    size,
    len(durations) / total if total else 1.0,
    (f"{problem}.",) if problem else (),
    ("WebP",),
    tuple(float(start) for start in np.cumsum([0.0, *durations[:-1]])),
  )
