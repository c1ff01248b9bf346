"""SynthVOS as a source of videos: seed in, arrays out."""

import dataclasses

import numpy as np
from jaxtyping import UInt8

from vosjax.data.synthvos import shapes
from vosjax.data.synthvos.scene import Scene, SceneSettings, build_scene
from vosjax.data.video import Source, Video
from vosjax.labels import VOID

CLASSES = ("background", *shapes.KINDS)
_SHARES = (
  "late_objects",
  "void",
  "clutter",
  "plain",
  "camouflage",
  "approach",
  "turning",
  "thin",
  "twins",
  "passing",
  "footage",
  "subject",
)
# Beyond these, videos show nothing or take more memory than there is.
_RANGES = {
  "speed": (0, 100),
  "object_size": (0.01, 10),
  "variety": (0, 2),
  "distractors": (0, 30),
}


@dataclasses.dataclass
class SynthVideo(Video):
  """One procedural video; every frame is annotated.

  Frames are rendered when they are read: `frame(t)` equals that of `clip(t, 1)`.

  Attributes:
    name: unique for seed and index.
    scene: that it shows.
    num_frames: its length.
  """

  name: str
  scene: Scene
  num_frames: int
  _last: tuple[int, np.ndarray] | None = dataclasses.field(
    default=None, init=False, repr=False
  )

  def __len__(self) -> int:
    return self.num_frames

  @property
  def size(self) -> tuple[int, int]:
    return self.scene.size

  @property
  def classes(self) -> dict[int, int]:
    """Class of each object id: its index in `CLASSES`."""
    return {i: CLASSES.index(kind) for i, kind in self.scene.kinds.items()}

  def frame(self, index: int) -> UInt8[np.ndarray, "h w 3"]:
    if self._last is None or self._last[0] != index:
      self._last = (index, self.clip(index, 1)[0][0])
    return self._last[1]

  def labels(self, index: int) -> UInt8[np.ndarray, "h w"]:
    """Object ids of one frame: 0 = background, 255 = void."""
    self._check(index, 1)
    return self.scene.label(np.array([index]))[0]

  def clip(
    self, start: int, length: int
  ) -> tuple[UInt8[np.ndarray, "t h w 3"], UInt8[np.ndarray, "t h w"]]:
    """Frames and labels of `length` frames from `start`, rendered together.

    Raises:
      IndexError: the clip does not lie within the video.
    """
    self._check(start, length)
    return self.scene.render(np.arange(start, start + length))

  def _check(self, start: int, length: int) -> None:
    if start < 0 or length < 1 or start + length > self.num_frames:
      raise IndexError(
        f"clip(): frames {start} to {start + length - 1} of {self.name}, "
        f"which has frames 0 to {self.num_frames - 1}."
      )


@dataclasses.dataclass(frozen=True)
class SynthVos(SceneSettings, Source):
  """Random-access procedural videos, each a function of (seed, index).

  `Settings` says what they show, `SceneSettings` adds their size and length.

  Attributes:
    seed: of the whole dataset; different seeds have no video in common.
    num_videos: number of videos.
  """

  seed: int
  num_videos: int

  def __post_init__(self):
    if min(self.size) < 32:
      raise ValueError(
        f"size={self.size}: SynthVOS needs at least 32 rows and columns."
      )
    if not 1 <= self.max_objects < VOID:
      raise ValueError(f"max_objects={self.max_objects}: expected 1 to {VOID - 1}.")
    for name in _SHARES:
      if not 0 <= getattr(self, name) <= 1:
        raise ValueError(
          f"{name}={getattr(self, name)}: expected a probability, 0 to 1."
        )
    for name, (least, most) in _RANGES.items():
      if not least <= getattr(self, name) <= most:
        raise ValueError(
          f"{name}={getattr(self, name)}: expected {least:g} to {most:g}."
        )
    if not self.kinds or not all(kind in CLASSES[1:] for kind in self.kinds):
      raise ValueError(f"kinds={self.kinds}: expected some of {CLASSES[1:]}.")
    check_positive(num_videos=self.num_videos, length=self.length)

  def __len__(self) -> int:
    return self.num_videos

  def __getitem__(self, index: int) -> SynthVideo:
    if not 0 <= index < self.num_videos:
      raise IndexError(f"video {index} of {self.num_videos}.")
    scene = build_scene((self.seed, index), self)
    return SynthVideo(f"synth{self.seed}-{index:06d}", scene, self.length)


def check_positive(**values: int) -> None:
  """Raises a ValueError that names an argument below 1."""
  for name, value in values.items():
    if value < 1:
      raise ValueError(f"{name}={value}: expected at least 1.")
