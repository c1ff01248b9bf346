"""The pieces of objects: a textured outline that bends, morphs and turns."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Complex, Float, Int, UInt8
from PIL import Image

from vosjax.data.synthvos.motion import STILL, Path, Pose, Times

OUTSIDE = -16.0  # pixels, farther away than any softness
_BILINEAR = Image.Resampling.BILINEAR
_DENSE = 2.0  # pixels of an image for each pixel of the part


def enlarge(image: Image.Image) -> Image.Image:
  """The image at twice its density: pixel 2 k is pixel k of the image."""
  w, h = image.size
  return image.resize(
    (2 * w - 2, 2 * h - 2), _BILINEAR, (0.25, 0.25, w - 0.75, h - 0.75)
  )


def endless() -> Float[np.ndarray, "0 0"]:
  """The outline of a background."""
  return np.zeros((0, 0), np.float32)


class Raster(NamedTuple):
  """An image of a part.

  Attributes:
    image: colours, or coverage, 0 to 255.
    density: its pixels for each pixel of the part; pixel k of a row shows what lies at
      k / density in the part.
    origin: position of the joint, in pixels of the part.
  """

  image: Image.Image
  density: float
  origin: complex


@dataclasses.dataclass(frozen=True)
class Part:
  """One rigid piece of an object and how it is attached.

  Attributes:
    colours: its surface; may be wider than the outline, with the same middle.
    origin: the pixel of the outline at the joint.
    outline: signed distance to the outline, positive inside. Empty: a background, which
      continues outside of the image by reflection.
    changed: signed distance to a second outline, towards which the part changes.
    joint: position of the origin on the object, or on `carrier`.
    angle: rest angle, in radians.
    swing: angle added over time.
    morph: weight of the second outline over time, 0 at t = 0.
    ripple: (height, waves per pixel, radians per frame) of a travelling bend.
    slide: pixels by which the surface moves under the outline, over time.
    shift: displacement of the joint over time.
    carrier: the part that this one is attached to; None: the object itself.
  """

  colours: UInt8[np.ndarray, "y x 3"]
  origin: complex
  outline: Float[np.ndarray, "h w"] = dataclasses.field(default_factory=endless)
  changed: Float[np.ndarray, "_ _"] = dataclasses.field(default_factory=endless)
  joint: complex = 0j
  angle: float = 0.0
  swing: Path = STILL
  morph: Path = STILL
  ripple: tuple[float, float, float] = (0.0, 0.0, 0.0)
  slide: Path = STILL
  shift: Path = STILL
  carrier: "Part | None" = None
  _made: dict[Any, Any] = dataclasses.field(
    default_factory=dict, init=False, repr=False, compare=False
  )

  def pose(self, t: Times) -> Pose:
    """From the part to the object."""
    turn = np.exp(1j * (self.angle + self.swing(t)))
    own = Pose(turn, self.joint + self.shift(t) + 0j)
    return self.carrier.pose(t) @ own if self.carrier else own

  @property
  def extent(self) -> tuple[int, int]:
    """Rows and columns of the image, in pixels of the part."""
    h, w = self.outline.shape if self.outline.size else self.colours.shape[:2]
    return h, w

  @property
  def corners(self) -> Complex[np.ndarray, " 4"]:
    """The corners of the image, relative to the joint."""
    h, w = self.extent
    return np.array([0, w, 1j * h, w + 1j * h]) - self.origin

  def coverage(self, t: float, slope: float) -> Raster:
    """The inside of the outline at a time.

    Args:
      t: the time.
      slope: how much the coverage rises across the outline, for each pixel of the part.
    """
    # Few different slopes, so that still parts are hardly ever drawn anew.
    slope = min(2.0 ** (round(4 * math.log2(slope)) / 4), 1.0)
    if not self.morph.amplitude.any() and not self.ripple[0]:
      t = 0.0
    return self._latest("coverage", (t, slope), self._draw_coverage)

  def surface(self, t: float, scale: float) -> Raster:
    """Colours at a time, dense enough to be sampled without interpolation.

    Args:
      t: the time.
      scale: pixels on the screen for each pixel of the part.
    """
    if self.ripple[0]:
      return self._latest("bent", (t,), self._draw_bent)
    density = _DENSE if scale > 0.75 else 1.0 if scale > 0.4 else 0.5
    origin, wide = self.origin, self._overhang
    if wide:
      origin += wide + np.clip(self.slide(np.array([t]))[0], -wide, wide)
    if density < 1:  # a pixel of the smaller image lies between two of the part
      origin -= 0.5 + 0.5j
    return Raster(self._resized(density), density, origin)

  @property
  def _overhang(self) -> float:
    """How far the surface reaches beyond the outline, on each side."""
    return (self.colours.shape[1] - self.extent[1]) / 2

  def _latest(self, name: str, key: tuple, make: Callable[..., Any]) -> Any:
    """What `make` returns for the key, made anew only if the key differs."""
    if name not in self._made or self._made[name][0] != key:
      self._made[name] = (key, make(*key))
    return self._made[name][1]

  def _resized(self, density: float) -> Image.Image:
    if density not in self._made:
      image = Image.fromarray(self.colours)
      if density > 1:
        image = enlarge(image)
      elif density < 1:
        image = image.reduce(2)
      self._made[density] = image.convert("RGBA")
    return self._made[density]

  def _draw_coverage(self, t: float, slope: float) -> Raster:
    distance = self.outline
    share = min(abs(float(self.morph(np.array([t]))[0])), 1.0)
    if share:
      distance = distance + np.float32(share) * (self.changed - distance)
    level = distance * np.float32(255 * slope) + np.float32(127.5)
    image = Image.fromarray(np.clip(level, 0, 255, out=level).astype(np.uint8))
    if not self.ripple[0]:
      return Raster(image, 1.0, self.origin)
    return self._bend(enlarge(image), t)

  def _draw_bent(self, t: float) -> Raster:
    return self._bend(self._resized(_DENSE), t)

  def _bend(self, image: Image.Image, t: float) -> Raster:
    """An image of density 2 with the travelling bend, and room for it."""
    room = int(np.ceil(self.ripple[0]))
    pixels = np.asarray(image)
    h, w = pixels.shape[:2]
    whole = pixels.view(np.uint32) if pixels.ndim == 3 else pixels  # a number per pixel
    bent = whole.ravel().take(self._latest("bend", ((h, w), room, t), self._bent_index))
    if pixels.ndim == 3:
      bent = bent.view(np.uint8).reshape(*bent.shape, 4)
    return Raster(Image.fromarray(bent), _DENSE, self.origin + room * (1 + 1j))

  def _bent_index(
    self, shape: tuple[int, int], room: int, t: float
  ) -> Int[np.ndarray, "y x"]:
    """Position in a flat image of density 2 of what each bent pixel shows."""
    (h, w), (height, waves, rate) = shape, self.ripple
    margin = int(_DENSE * room)
    across = np.arange(-margin, w + margin, dtype=np.int32)
    down = np.arange(-2 * margin, h + 2 * margin, dtype=np.int32)
    places = across / _DENSE - self.origin.real, down / _DENSE - self.origin.imag
    rise = _wave(height, waves * places[0] + rate * t)
    starts = np.clip(down, 0, h - 1) * np.int32(w)
    rows = (down[margin:-margin] + 2 * margin)[:, None] + rise
    columns = _wave(height, waves * places[1] + 1.3 * rate * t).take(rows)
    columns += across
    np.clip(columns, 0, w - 1, out=columns)
    columns += starts.take(rows)
    return columns


def _wave(height: float, phase: np.ndarray) -> np.ndarray:
  """Whole steps in an image of density 2, by which a wave of this height bends it."""
  return np.round(_DENSE * height * np.sin(phase)).astype(np.int32)
