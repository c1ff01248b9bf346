"""RVOS's training clips: cut one after the other, rotated, moved and zoomed whole.

Source: the released program of Ventura et al., CVPR 2019.
"""

import dataclasses
import functools

import grain
import numpy as np
from jaxtyping import Float, UInt8

from vosjax.data.lazy_images import Picture, change_each
from vosjax.data.video import Clip, Source, Video, picture, read_clip


@dataclasses.dataclass(frozen=True)
class ClipView:
  """Some frames of a video, as a video.

  Attributes:
    video: whose frames they are.
    frames: their numbers there.
  """

  video: Video
  frames: tuple[int, ...]

  @property
  def name(self) -> str:
    """Of the whole video."""
    return self.video.name

  @property
  def frame_names(self) -> tuple[str, ...]:
    """Those of the frames that are taken."""
    return tuple(self.video.frame_names[t] for t in self.frames)

  def __len__(self) -> int:
    return len(self.frames)

  def frame(self, index: int) -> UInt8[np.ndarray, "h w 3"]:
    """RGB of one frame."""
    return self.video.frame(self.frames[index])

  def picture(self, index: int) -> Picture:
    """One frame in the form that the video decodes it to."""
    return picture(self.video, self.frames[index])

  def labels(self, index: int) -> UInt8[np.ndarray, "h w"] | None:
    """Object ids of one frame."""
    return self.video.labels(self.frames[index])


@dataclasses.dataclass(frozen=True)
class SuccessiveClips:
  """Videos cut into clips that do not overlap, each a video of its own.

  Frames without annotation are passed over: YouTube-VOS annotates every fifth. What is
  left at a video's end is not used, nor is a video that is too short.

  Attributes:
    source: of whole videos.
    length: frames of a clip.
  """

  source: Source
  length: int

  def __len__(self) -> int:
    return len(self._places)

  def __getitem__(self, index: int) -> ClipView:
    video, frames = self._places[index]
    return ClipView(self.source[video], frames)

  @functools.cached_property
  def _places(self) -> list[tuple[int, tuple[int, ...]]]:
    places = []
    for i in range(len(self.source)):
      frames = _annotated(self.source[i])
      for start in range(0, len(frames) - self.length + 1, self.length):
        places.append((i, frames[start : start + self.length]))
    return places


def _annotated(video: Video) -> tuple[int, ...]:
  """Frames with labels; videos that do not list their files have all of them."""
  files = getattr(video, "label_files", None)
  return tuple(t for t in range(len(video)) if files is None or files[t] is not None)


@dataclasses.dataclass(frozen=True)
class WholeClip(grain.transforms.RandomMap):
  """All frames of a video."""

  def random_map(self, video: Video, rng: np.random.Generator) -> Clip:  # noqa: ARG002
    """The clip."""
    return read_clip(video, 0, len(video))


@dataclasses.dataclass(frozen=True)
class RandomAffine(grain.transforms.RandomMap):
  """One affine map for a whole clip, frames and labels, by the nearest pixel.

  The map is rotation, translation, shear and zoom, multiplied in this order, about
  the frame's centre, and says where an output pixel looks: zoom above 1 shrinks.
  Borders are continued.

  Attributes:
    rotation: largest angle, in degrees.
    translation: furthest shift, as a share of rows and of columns.
    shear: largest angle, in degrees; the released program's is next to nothing.
    zoom: range of the factor, drawn for rows and columns apart.
  """

  rotation: float = 10.0
  translation: float = 0.1
  shear: float = 0.1
  zoom: tuple[float, float] = (0.7, 1.4)

  def random_map(self, clip: Clip, rng: np.random.Generator) -> Clip:
    """The clip, seen through a random map."""
    h, w = clip["labels"].shape[1:]
    angle, shear = np.deg2rad([rng.uniform(-x, x) for x in (self.rotation, self.shear)])
    shift = rng.uniform(-self.translation, self.translation, 2) * (h, w)
    matrix = _matrix(angle, shift, shear, rng.uniform(*self.zoom, 2))
    rows, columns = _nearest(matrix, (h, w))

    def look(_, seen):
      return np.asarray(seen)[rows, columns]

    return clip | {name: change_each(clip[name], look) for name in ("frames", "labels")}


def _matrix(angle, shift, shear, zoom) -> Float[np.ndarray, "3 3"]:
  """From output to input, in (row, column, 1) about the centre."""
  cos, sin = np.cos(angle), np.sin(angle)
  rotate = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
  translate = np.array([[1, 0, shift[0]], [0, 1, shift[1]], [0, 0, 1]])
  slant = np.array([[1, -np.sin(shear), 0], [0, np.cos(shear), 0], [0, 0, 1]])
  return rotate @ translate @ slant @ np.diag([*zoom, 1])


def _nearest(
  matrix: Float[np.ndarray, "3 3"], size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
  """Row and column of the input, each [h w], that output pixels are read from."""
  centre = (np.array(size) - 1) / 2
  grid = np.indices(size).reshape(2, -1) - centre[:, None]
  read = matrix[:2, :2] @ grid + (matrix[:2, 2] + centre)[:, None]
  last = np.array(size)[:, None] - 1
  rows, columns = np.rint(read).clip(0, last).astype(np.intp).reshape(2, *size)
  return rows, columns
