"""SynthVOS as a source of videos: seed in, arrays out."""

import dataclasses

import numpy as np
from jaxtyping import UInt8

from vosjax.data.synthvos import shapes
from vosjax.data.synthvos.scene import Recipe, Scene, build_scene
from vosjax.data.synthvos.settings import Settings
from vosjax.data.video import VOID

CLASSES = ("background", *shapes.KINDS)


@dataclasses.dataclass
class Video:
  """One procedural video; every frame is annotated.

  Frames are drawn when asked for: `frame(t)` equals `clip(t, 1)`'s.

  Attributes:
    name: unique within seed and index.
    scene: all that is in it.
    num_frames: its length.
  """

  name: str
  scene: Scene
  num_frames: int
  _last: tuple[int, np.ndarray, np.ndarray] | None = dataclasses.field(
    default=None, init=False, repr=False
  )

  def __len__(self) -> int:
    return self.num_frames

  @property
  def frame_names(self) -> tuple[str, ...]:
    return tuple(f"{t:05d}" for t in range(self.num_frames))

  @property
  def classes(self) -> dict[int, int]:
    """Class of each object id: its place in `CLASSES`."""
    return {i: CLASSES.index(kind) for i, kind in self.scene.kinds.items()}

  def frame(self, t: int) -> UInt8[np.ndarray, "h w 3"]:
    """RGB of frame `t`."""
    return self._single(t)[1]

  def labels(self, t: int) -> UInt8[np.ndarray, "h w"]:
    """Object ids of frame `t`: 0 = background, 255 = void."""
    return self._single(t)[2]

  def clip(
    self, start: int, length: int
  ) -> tuple[UInt8[np.ndarray, "t h w 3"], UInt8[np.ndarray, "t h w"]]:
    """Frames and labels of `length` frames from `start`, drawn together.

    Raises:
      IndexError: the clip does not lie within the video.
    """
    if start < 0 or length < 1 or start + length > self.num_frames:
      raise IndexError(
        f"clip(): frames {start} to {start + length - 1} of {self.name}, "
        f"which has frames 0 to {self.num_frames - 1}."
      )
    return self.scene.render(np.arange(start, start + length))

  def _single(self, t: int) -> tuple[int, np.ndarray, np.ndarray]:
    if self._last is None or self._last[0] != t:
      frames, labels = self.clip(t, 1)
      self._last = (t, frames[0], labels[0])
    return self._last


@dataclasses.dataclass(frozen=True)
class SynthVos(Settings):
  """Random-access procedural videos, each a function of (seed, index).

  `Settings` says what they show.

  Attributes:
    seed: of the whole set; another seed has no video in common.
    num_videos: how many there are.
    size: rows and columns of a frame.
    length: frames of a video.
  """

  seed: int
  num_videos: int
  size: tuple[int, int] = dataclasses.field(kw_only=True)
  length: int = dataclasses.field(kw_only=True)

  def __post_init__(self):
    if min(self.size) < 32:
      raise ValueError(
        f"size={self.size}: SynthVOS needs at least 32 rows and columns."
      )
    if not 1 <= self.max_objects < VOID:
      raise ValueError(f"max_objects={self.max_objects}: expected 1 to {VOID - 1}.")
    for name in ("clutter", "plain", "camouflage"):
      if not 0 <= getattr(self, name) <= 1:
        raise ValueError(f"{name}={getattr(self, name)}: expected a share, 0 to 1.")
    unknown = sorted(set(self.kinds) - set(CLASSES[1:]))
    if unknown or not self.kinds:
      raise ValueError(f"kinds={self.kinds}: expected some of {CLASSES[1:]}.")
    if self.distractors < 0:
      raise ValueError(f"distractors={self.distractors}: expected at least 0.")
    for name in ("num_videos", "length"):
      if getattr(self, name) < 1:
        raise ValueError(f"{name}={getattr(self, name)}: expected at least 1.")

  def __len__(self) -> int:
    return self.num_videos

  def __getitem__(self, index: int) -> Video:
    if not 0 <= index < self.num_videos:
      raise IndexError(f"video {index} of {self.num_videos}.")
    recipe = Recipe(
      self.size,
      self.length,
      self.max_objects,
      self.late_objects,
      self.void,
      self.speed,
      self.object_size,
      self.clutter,
      tuple(self.kinds),
      self.plain,
      self.distractors,
      self.camouflage,
    )
    scene = build_scene((self.seed, index), recipe)
    return Video(f"synth{self.seed}-{index:06d}", scene, self.length)
