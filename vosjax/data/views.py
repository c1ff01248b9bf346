"""Parts of videos as videos, and parts of sources as sources."""

import dataclasses
import functools
from collections.abc import Mapping

import numpy as np
from jaxtyping import UInt8

from vosjax.data.video import Source, Video


@dataclasses.dataclass(frozen=True)
class FrameSubset(Video):
  """Some frames of a video, as a video of the same name.

  Attributes:
    video: the whole video.
    indices: of the frames in it.
  """

  video: Video
  indices: tuple[int, ...]
  name: str = dataclasses.field(init=False)

  def __post_init__(self):
    object.__setattr__(self, "name", self.video.name)

  @functools.cached_property
  def frame_names(self) -> tuple[str, ...]:
    return tuple(self.video.frame_names[t] for t in self.indices)

  def __len__(self) -> int:
    return len(self.indices)

  @property
  def size(self) -> tuple[int, int]:
    return self.video.size

  @property
  def classes(self) -> Mapping[int, int]:
    return self.video.classes

  @property
  def categories(self) -> Mapping[int, str]:
    return self.video.categories

  def frame(self, index: int) -> UInt8[np.ndarray, "h w 3"]:
    return self.video.frame(self.indices[index])

  def labels(self, index: int) -> UInt8[np.ndarray, "h w"] | None:
    return self.video.labels(self.indices[index])


@dataclasses.dataclass(frozen=True)
class AnnotatedFrames(Source):
  """The annotated frames of videos, each as a video of its own.

  Attributes:
    source: of whole videos.
  """

  source: Source

  def __len__(self) -> int:
    return len(self.source)

  def __getitem__(self, index: int) -> FrameSubset:
    video = self.source[index]
    return FrameSubset(video, video.annotated_frames)

  @property
  def origin(self) -> str | None:
    return self.source.origin


@dataclasses.dataclass(frozen=True)
class SuccessiveClips(Source):
  """Videos cut into clips that do not overlap, each a video of its own.

  Frames without annotation are skipped: YouTube-VOS annotates every fifth. Frames left
  over at the end of a video are not used, nor are videos shorter than a clip.

  Attributes:
    source: of whole videos.
    length: frames of a clip.
  """

  source: Source
  length: int

  def __len__(self) -> int:
    return len(self._places)

  def __getitem__(self, index: int) -> FrameSubset:
    video, indices = self._places[index]
    return FrameSubset(self.source[video], indices)

  @property
  def origin(self) -> str | None:
    return self.source.origin

  @functools.cached_property
  def _places(self) -> list[tuple[int, tuple[int, ...]]]:
    """Indices of the video and of the frames of each clip."""
    places = []
    for i in range(len(self.source)):
      frames = self.source[i].annotated_frames
      for start in range(0, len(frames) - self.length + 1, self.length):
        places.append((i, frames[start : start + self.length]))
    return places


class EveryFrame(Source):
  """Every frame of every video as a video, so that each is drawn once per epoch.

  Args:
    source: of whole videos, whose lengths are read here.
  """

  def __init__(self, source: Source):
    self._source = source
    self._ends = np.cumsum([len(source[i]) for i in range(len(source))])

  def __len__(self) -> int:
    return int(self._ends[-1])

  def __getitem__(self, index: int) -> FrameSubset:
    if not 0 <= index < len(self):
      raise IndexError(f"frame {index} of {len(self)}.")
    number = int(np.searchsorted(self._ends, index, side="right"))
    video = self._source[number]
    return FrameSubset(video, (index - int(self._ends[number]) + len(video),))

  @property
  def origin(self) -> str | None:
    return self._source.origin
