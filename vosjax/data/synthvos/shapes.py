"""Makes objects of jointed parts, each with a signed distance to its outline."""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from vosjax.data.synthvos.motion import Path, wander
from vosjax.data.synthvos.parts import OUTSIDE, Part
from vosjax.data.synthvos.textures import (
  Palette,
  multiply,
  palette,
  similar,
  texture,
  to_bytes,
)

Distance = Float[np.ndarray, "h w"]  # to the outline in pixels, positive inside
Rows = Float[np.ndarray, "h 1"]
Columns = Float[np.ndarray, "1 w"]

DIRECTIONS = 2048  # at which an outline is tabulated


def grid(tall: float, wide: float) -> tuple[Rows, Columns]:
  """y and x about the centre of a box of these half sizes and a margin."""
  rows, columns = (int(np.ceil(half)) + 3 for half in (tall, wide))
  y, x = np.ogrid[-rows : rows + 1, -columns : columns + 1]
  return y.astype(np.float32), x.astype(np.float32)


def polar(
  y: Rows, x: Columns, aspect: float
) -> tuple[Distance, Int[np.ndarray, "h w"]]:
  """Distance and tabulated direction from the origin, in a stretched plane."""
  y, x = y * np.float32(aspect), x / np.float32(aspect)
  direction = np.arctan2(y, x)
  direction *= np.float32(DIRECTIONS / (2 * np.pi))
  return hypotenuse(y, x), direction.astype(np.intp) & (DIRECTIONS - 1)


def hypotenuse(y: Rows | Distance, x: Columns | Distance) -> Distance:
  """What np.hypot returns for numbers of float32, in a sixth of its time."""
  square = np.square(y, dtype=np.float64) + np.square(x, dtype=np.float64)
  return np.sqrt(square, out=square).astype(np.float32)


class Star(NamedTuple):
  """A star-shaped outline: radius * (1 + sum of waves), concave with strong waves.

  Attributes:
    edges: distance of the outline from the origin, in each direction.
    slopes: how much this changes for each radian.
    radius: mean distance.
  """

  edges: Float[np.ndarray, " d"]
  slopes: Float[np.ndarray, " d"]
  radius: float

  def extent(self, margin: float) -> tuple[float, float]:
    """Half sizes of a box, outside of which `distance` is below -`margin`."""
    nearest = np.maximum(self.edges, 0.3 * self.radius)
    steep = np.sqrt(1 + (self.slopes / nearest) ** 2)
    # Wider by as much as an outline may vary between two directions.
    reach = 1.01 * self.edges + margin * steep
    cosines, sines = _waves(1)
    tall, wide = np.abs(reach * sines[:, 0]), np.abs(reach * cosines[:, 0])
    return float(tall.max()), float(wide.max())

  def distance(
    self, length: Distance, direction: Int[np.ndarray, "h w"], aspect: float
  ) -> Distance:
    """To the outline; `length` and `direction` are those of `polar`."""
    steep = self.slopes.take(direction)
    # np.clip takes a tenth of the time of np.maximum.
    steep /= np.clip(length, np.float32(0.3 * self.radius), np.float32(np.inf))
    steep *= steep
    steep += 1
    np.sqrt(steep, out=steep)
    outline = self.edges.take(direction)
    outline -= length
    outline /= steep
    outline /= np.float32(max(aspect, 1 / aspect))
    return outline


def star(
  radius: float, waves: Float[np.ndarray, " k"], phases: Float[np.ndarray, " k"]
) -> Star:
  """A star-shaped outline with waves of 2, 3, ... periods."""
  orders = np.arange(2, 2 + len(waves))
  cosines, sines = (table[:, 1:] for table in _waves(1 + len(waves)))
  real, imag = waves * np.cos(phases), waves * np.sin(phases)
  edges = radius * (1 + cosines @ real - sines @ imag)
  slopes = radius * (sines @ (orders * real) + cosines @ (orders * imag))
  return Star(edges.astype(np.float32), slopes.astype(np.float32), radius)


@functools.cache
def _waves(count: int) -> tuple[Float[np.ndarray, "d k"], Float[np.ndarray, "d k"]]:
  """Cosines and sines of 1, 2, ... `count` periods, in each direction."""
  turns = np.linspace(0, 2 * np.pi, DIRECTIONS)[:, None] * np.arange(1, count + 1)
  return np.cos(turns), np.sin(turns)


def box(y: Rows, x: Columns, height: float, width: float, corner: float) -> Distance:
  """A rounded rectangle of these half sizes."""
  dy, dx = np.abs(y) - (height - corner), np.abs(x) - (width - corner)
  outside = np.hypot(np.maximum(dy, 0), np.maximum(dx, 0))
  return corner - outside - np.minimum(np.maximum(dy, dx), 0)


def limb(y: Rows, x: Columns, length: float, root: float, tip: float) -> Distance:
  """A tapered capsule that hangs down from the origin."""
  along = np.clip(y / np.float32(length), 0, 1)
  return root + (tip - root) * along - hypotenuse(y - along * np.float32(length), x)


def paint(
  rng: np.random.Generator,
  outline: Distance,
  changed: Distance,
  colours: Palette,
  **fields: Any,
) -> Part:
  """A part with a texture inside its outlines, shaded as if it were round."""
  visible = (outline > -3) | (changed > -3)
  rows = np.flatnonzero(visible.any(axis=1))
  columns = np.flatnonzero(visible.any(axis=0))
  tight = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
  h, w = outline.shape
  origin = complex(w // 2 - columns[0], h // 2 - rows[0])
  outline, changed = outline[tight].copy(), changed[tight].copy()
  for distance in (outline, changed):  # nothing is visible outside of the image
    distance[[0, -1]] = distance[:, [0, -1]] = OUTSIDE
  h, w = outline.shape
  image = texture(rng, h, w, colours)
  depth = np.clip(outline / (0.5 * outline.max() + 1e-6), 0, 1)
  roundness, tilt = np.float32(rng.uniform(0, 0.5)), np.float32(rng.uniform(0, 0.3))
  ramp = np.linspace(-1, 1, len(outline), dtype=np.float32)[:, None]
  multiply(image, (1 - roundness * (1 - depth)) * (1 - tilt * ramp))
  return Part(to_bytes(image), origin, outline, changed, **fields)


def blob(
  rng: np.random.Generator,
  radius: float,
  colours: Palette,
  rough: float,
  **fields: Any,
) -> Part:
  """A star-shaped part whose outline changes over time."""
  orders = 6
  fall = rough / np.arange(1, orders + 1) ** rng.uniform(0.3, 1.2)
  waves = np.clip(rng.normal(0, 1, orders), -1.6, 1.6) * fall
  waves *= min(1, 0.6 / np.abs(waves).sum())
  phases = rng.uniform(0, 2 * np.pi, orders)
  aspect = np.exp(rng.normal(0, 0.22))
  first = star(radius, waves, phases)
  turned = phases + rng.normal(0, 0.9, orders)
  second = star(radius, waves * rng.uniform(0.4, 1.3), turned)
  stretch = max(aspect, 1 / aspect)
  extents = zip(first.extent(4 * stretch), second.extent(4 * stretch))
  tall, wide = (max(pair) for pair in extents)
  limit = 1.7 * radius * stretch
  place = polar(*grid(min(tall / aspect, limit), min(wide * aspect, limit)), aspect)
  outline, changed = (each.distance(*place, aspect) for each in (first, second))
  ripple = (
    radius * rng.choice([0, 0.06, 0.14]),
    rng.uniform(1, 4) / radius,
    rng.normal(0, 0.3),
  )
  morph = wander(rng, 0.9, 0.12)
  return paint(rng, outline, changed, colours, morph=morph, ripple=ripple, **fields)


def rigid(
  rng: np.random.Generator, outline: Distance, colours: Palette, **fields: Any
) -> Part:
  """A part that keeps its outline."""
  return paint(rng, outline, outline, colours, **fields)


def hanging(
  rng: np.random.Generator,
  length: float,
  thick: float,
  colours: Palette,
  **fields: Any,
) -> Part:
  """A limb below its joint, which may bend as it swings."""
  outline = limb(
    *grid(length + thick, thick), length, thick, thick * rng.uniform(0.5, 1.0)
  )
  ripple = (
    thick * rng.choice([0, 0.7]),
    rng.uniform(1, 2) / length,
    rng.normal(0, 0.3),
  )
  return rigid(rng, outline, colours, ripple=ripple, **fields)


def creature(
  rng: np.random.Generator, radius: float, colours: list[Palette]
) -> list[Part]:
  """A body with a head and swinging limbs: upright or on all fours."""
  upright = rng.random() < 0.5
  tall, wide = (0.55, 0.32) if upright else (0.33, 0.65)
  tall, wide = (
    radius * tall * rng.uniform(0.8, 1.2),
    radius * wide * rng.uniform(0.8, 1.2),
  )
  body = rigid(
    rng, box(*grid(tall, wide), tall, wide, 0.95 * min(tall, wide)), colours[0]
  )
  head = -1j * (tall * 1.25) if upright else wide * 1.1 - 0.6j * tall
  limbs, rate = [], rng.uniform(0.15, 0.7)
  for k in range(int(rng.integers(2, 5))):
    if upright and k >= 2:  # arms
      at, rest = (
        (-0.6j * tall + (2 * k - 5) * 0.7 * wide),
        (5 - 2 * k) * rng.uniform(0.2, 1.5),
      )
    else:
      at, rest = 0.6j * tall + wide * ((k % 2) * 1.4 - 0.7 + 0.2 * (k // 2)), 0.0
    swing = Path(
      np.array([rng.uniform(0.2, 0.8)]), np.array([rate]), np.array([k * np.pi])
    )
    length = radius * rng.uniform(0.5, 0.8)
    dress = colours[int(rng.integers(len(colours)))]
    thick = radius * rng.uniform(0.08, 0.15)
    limbs.append(hanging(rng, length, thick, dress, joint=at, angle=rest, swing=swing))
  face = blob(rng, radius * rng.uniform(0.2, 0.3), colours[-1], 0.1, joint=head)
  return [*limbs[: len(limbs) // 2], body, face, *limbs[len(limbs) // 2 :]]


def vehicle(
  rng: np.random.Generator, radius: float, colours: list[Palette]
) -> list[Part]:
  """A hull with a cabin and turning wheels."""
  wide, tall = radius * rng.uniform(0.8, 1.1), radius * rng.uniform(0.25, 0.4)
  hull = rigid(rng, box(*grid(tall, wide), tall, wide, 0.4 * tall), colours[0])
  roof, top = wide * rng.uniform(0.4, 0.7), tall * rng.uniform(0.7, 1.1)
  cabin = rigid(
    rng,
    box(*grid(top, roof), top, roof, 0.3 * min(roof, top)),
    colours[-1],
    joint=-1j * (tall + 0.5 * top) + rng.normal(0, 0.1) * wide,
  )
  turn = Path(np.array([40.0]), np.array([0.01]), np.zeros(1))
  wheel = tall * rng.uniform(0.5, 0.8)
  wheels = [
    rigid(
      rng,
      box(*grid(wheel, wheel), wheel, wheel, wheel),
      colours[len(colours) // 2],
      joint=side * 0.6 * wide + 1j * tall,
      swing=turn,
    )
    for side in (-1, 1)
  ]
  return [cabin, hull, *wheels]


def pair(rng: np.random.Generator, radius: float, colours: list[Palette]) -> list[Part]:
  """A rough blob with up to two others attached to it."""
  parts = [blob(rng, 0.7 * radius, colours[0], rng.uniform(0.1, 0.7))]
  for k in range(int(rng.integers(0, 3))):
    at = 0.6 * radius * np.exp(1j * rng.uniform(0, 2 * np.pi))
    swing = wander(rng, 0.6, 0.08)
    hue = colours[(k + 1) % len(colours)]
    size = radius * rng.uniform(0.2, 0.45)
    parts.append(blob(rng, size, hue, 0.4, joint=at, swing=swing))
  return parts


def rod(rng: np.random.Generator, radius: float, colours: list[Palette]) -> list[Part]:
  """A long bar: boards, poles, trunks."""
  thick = radius * rng.uniform(0.12, 0.3)
  return [
    rigid(
      rng,
      box(*grid(radius, thick), radius, thick, thick * rng.uniform(0.1, 1)),
      colours[0],
    )
  ]


CAMOUFLAGE = 0.35  # probability that a thing has the colours of the background
# Kinds of objects, and their probabilities.
KINDS = {"blob": 0.5, "creature": 0.32, "vehicle": 0.12, "rod": 0.06}
_MAKERS = {"blob": pair, "creature": creature, "vehicle": vehicle, "rod": rod}


def thing(
  rng: np.random.Generator,
  radius: float,
  near: list[Palette],
  kinds: Sequence[str] = tuple(KINDS),
  camouflage: float = CAMOUFLAGE,
  colours: Sequence[Palette] = (),
) -> tuple[str, list[Part]]:
  """A random object of one of the `kinds`: its kind, and its parts from back to front.

  With probability `camouflage`, it shares its colours with `near`. Its other colours
  are `colours` where they are given.
  """
  colours = [*colours] or [palette(rng) for _ in range(int(rng.integers(1, 4)))]
  if rng.random() < camouflage:
    colours[0] = similar(rng, near[int(rng.integers(len(near)))])
  chances = np.array([KINDS[kind] for kind in kinds])
  kind = kinds[rng.choice(len(kinds), p=chances / chances.sum())]
  return kind, _MAKERS[kind](rng, radius, colours)
