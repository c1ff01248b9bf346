"""SynthVOS as A-GAME describes it: salient objects that move over photographs.

One to five objects of MSRA10K are cut out by their masks, pasted onto an image of
PASCAL VOC 2012, and moved across it. The paper does not specify sizes and paths; here
objects roam, turn and grow smoothly, and later objects occlude earlier ones.

Source: Johnander et al., "A Generative Appearance Model for End-to-end Video Object
Segmentation", CVPR 2019.
"""

import dataclasses

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image
from scipy import ndimage

from vosjax.data.synthvos.actors import Size, spread
from vosjax.data.synthvos.lens import CLEAR
from vosjax.data.synthvos.motion import STILL, Camera, Motion, roam, wander
from vosjax.data.synthvos.parts import OUTSIDE, Part
from vosjax.data.synthvos.render import Layer
from vosjax.data.synthvos.scene import Scene, keep_visible
from vosjax.data.synthvos.source import SynthVideo, check_positive
from vosjax.data.video import Source
from vosjax.labels import VOID

_MARGIN = 3  # pixels around a cut-out, for its soft outline
_MIN_PIXELS = 16  # of a mask that is cut out
_TRIES = 100


@dataclasses.dataclass(frozen=True)
class PastedVos(Source):
  """Random-access videos of pasted objects, each a function of (seed, index).

  Attributes:
    objects: all labelled pixels of frame 0 are cut out as one object (MSRA10K:
      `StillsFolder`).
    backgrounds: frame 0 is the background (VOC 2012: `VocFolder`).
    seed: of the whole dataset.
    num_videos: number of videos.
    size: rows and columns of a frame.
    length: frames of a video.
    max_objects: 1 to this many objects are pasted; those that are occluded in the
      first frame are removed.
    speed: factor of all motion.
  """

  objects: Source
  backgrounds: Source
  seed: int
  num_videos: int
  size: tuple[int, int] = dataclasses.field(kw_only=True)
  length: int = dataclasses.field(kw_only=True)
  max_objects: int = dataclasses.field(default=5, kw_only=True)
  speed: float = dataclasses.field(default=1.0, kw_only=True)

  def __post_init__(self):
    if min(self.size) < 32:
      raise ValueError(f"size={self.size}: expected at least 32 rows and columns.")
    if not 1 <= self.max_objects < VOID:
      raise ValueError(f"max_objects={self.max_objects}: expected 1 to {VOID - 1}.")
    check_positive(num_videos=self.num_videos, length=self.length)
    for name, source in (("objects", self.objects), ("backgrounds", self.backgrounds)):
      if not len(source):
        raise ValueError(f"{name}: an empty source, expected at least one image.")

  def __len__(self) -> int:
    return self.num_videos

  def __getitem__(self, index: int) -> SynthVideo:
    if not 0 <= index < self.num_videos:
      raise IndexError(f"video {index} of {self.num_videos}.")
    for attempt in range(_TRIES):
      scene = keep_visible(self._compose((self.seed, index, attempt)))
      if any(layer.label for layer in scene.layers):
        return SynthVideo(f"pasted{self.seed}-{index:06d}", scene, self.length)
    raise ValueError(f"size={self.size}: no object is large enough to be seen.")

  def _compose(self, key: tuple[int, ...]) -> Scene:
    rng, size = np.random.default_rng(key), self.size
    image = self.backgrounds[int(rng.integers(len(self.backgrounds)))].frame(0)
    count = int(rng.integers(1, self.max_objects + 1))
    layers = [backdrop(rng, image, size)]
    for label, position in enumerate(spread(rng, count, size), start=1):
      side = 2 * np.sqrt(size[0] * size[1]) * rng.uniform(0.17, 0.4) * count**-0.35
      layers.append(
        Layer(
          [cut_out(*self._object(rng), side)],
          journey(rng, position, size, self.speed),
          label=label,
        )
      )
    fixed = Camera(0j, STILL, STILL, STILL, STILL, 0.0)
    return Scene(key, size, tuple(layers), fixed, CLEAR, void=False)

  def _object(
    self, rng: np.random.Generator
  ) -> tuple[UInt8[np.ndarray, "y x 3"], Bool[np.ndarray, "y x"]]:
    """A random image and the mask of the object to be cut out of it."""
    for _ in range(_TRIES):
      still = self.objects[int(rng.integers(len(self.objects)))]
      labels = still.labels(0)
      if labels is not None:
        mask = (labels > 0) & (labels < VOID)
        if mask.sum() >= _MIN_PIXELS:
          return still.frame(0), mask
    raise ValueError(
      f"objects: {_TRIES} images in a row without a mask of {_MIN_PIXELS} pixels, "
      f"e.g. {still.name}. Give a source of salient objects, such as MSRA10K."
    )


def cut_out(
  image: UInt8[np.ndarray, "y x 3"], mask: Bool[np.ndarray, "y x"], side: float
) -> Part:
  """An object as a part whose bounding box has the area of a square of `side`."""
  rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
  top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
  scale = side / np.sqrt((bottom - top) * (right - left))
  h, w = (max(4, round(scale * extent)) for extent in (bottom - top, right - left))
  box = (int(left), int(top), int(right), int(bottom))
  size, bilinear = (w, h), Image.Resampling.BILINEAR
  colours = np.asarray(Image.fromarray(image).resize(size, bilinear, box))
  grey = Image.fromarray(mask.astype(np.uint8) * 255).resize(size, bilinear, box)
  inside = np.pad(np.asarray(grey) > 127, _MARGIN)
  colours = np.pad(colours, ((_MARGIN, _MARGIN), (_MARGIN, _MARGIN), (0, 0)), "edge")
  distance = ndimage.distance_transform_edt(inside) - ndimage.distance_transform_edt(
    ~inside
  )
  distance -= np.sign(distance) * 0.5  # the outline runs between the pixels
  distance[[0, -1]] = distance[:, [0, -1]] = OUTSIDE
  origin = complex(w / 2 + _MARGIN, h / 2 + _MARGIN)
  return Part(colours, origin, distance.astype(np.float32))


def backdrop(
  rng: np.random.Generator, image: UInt8[np.ndarray, "y x 3"], size: Size
) -> Layer:
  """An image behind everything, scaled to cover the frame and cropped at random."""
  (h, w), (rows, columns) = size, image.shape[:2]
  scale = max(h / rows, w / columns)
  cut_h, cut_w = min(h / scale, rows), min(w / scale, columns)
  top, left = rng.uniform(0, rows - cut_h), rng.uniform(0, columns - cut_w)
  frame = Image.fromarray(image).resize(
    (w, h), Image.Resampling.BILINEAR, (left, top, left + cut_w, top + cut_h)
  )
  return Layer([Part(np.asarray(frame), 0j)], Motion(0j, STILL, 0.0, STILL, STILL))


def journey(
  rng: np.random.Generator, position: complex, size: Size, speed: float
) -> Motion:
  """The motion of an object across the frame: it roams, turns and grows."""
  h, w = size
  pace = np.sqrt(h * w) * speed * min(rng.lognormal(np.log(0.017), 0.6), 0.07)
  reach = complex(w * rng.uniform(0.15, 0.7), h * rng.uniform(0.05, 0.5))
  return Motion(
    position,
    roam(rng, reach, pace),
    0.0,
    wander(rng, rng.uniform(0.05, 0.35), 0.03 * speed),
    wander(rng, rng.uniform(0.05, 0.3), 0.02 * speed),
  )
