"""What a scene consists of: moving things, scenery, occluders and the camera."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from vosjax.data.synthvos.motion import STILL, Camera, Motion, Path, roam, wander
from vosjax.data.synthvos.parts import Part
from vosjax.data.synthvos.render import Layer
from vosjax.data.synthvos.shapes import CAMOUFLAGE, KINDS, rod, thing
from vosjax.data.synthvos.textures import (
  Palette,
  fractal,
  palette,
  scenery,
  to_bytes,
)

Size = tuple[int, int]  # rows, columns


def spread(rng: np.random.Generator, count: int, size: Size) -> list[complex]:
  """Positions in the frame, each the farthest of some random candidates."""
  h, w = size
  positions: list[complex] = []
  for _ in range(count):
    x, y = rng.uniform(0.15 * w, 0.85 * w, 8), rng.uniform(0.2 * h, 0.8 * h, 8)
    options = x + 1j * y
    gaps = [min([abs(option - p) for p in positions], default=0) for option in options]
    positions.append(complex(options[int(np.argmax(gaps))]))
  return positions


def moving(
  rng: np.random.Generator,
  size: Size,
  radius: float,
  position: complex,
  near: list[Palette],
  *,
  label: int,
  speed: float,
  kinds: Sequence[str] = tuple(KINDS),
  camouflage: float = CAMOUFLAGE,
) -> Layer:
  """A thing that roams; `radius` is relative to the square root of the frame's area."""
  h, w = size
  scale = np.sqrt(h * w)
  pace = scale * speed * min(rng.lognormal(np.log(0.017), 0.6), 0.07)
  reach = complex(w * rng.uniform(0.15, 0.7), h * rng.uniform(0.05, 0.5))
  spins = rng.random() < 0.3
  move = roam(rng, reach, pace)
  if rng.random() < 0.2:
    move += excursion(rng, position, size, radius * scale, speed)
  motion = Motion(
    position,
    move,
    rng.normal(0, 0.3) if rng.random() < 0.7 else rng.uniform(0, 2 * np.pi),
    wander(rng, 2.5 if spins else 0.35, (0.12 if spins else 0.04) * speed),
    wander(rng, rng.uniform(0.1, 0.5), 0.025 * speed),
  )
  shadow = rng.uniform(0.15, 0.5) if rng.random() < 0.4 else 0.0
  offset = (
    int(0.04 * scale * rng.uniform(0, 1)),
    int(0.04 * scale * rng.uniform(-1, 1)),
  )
  kind, parts = thing(rng, radius * scale, near, kinds, camouflage)
  return Layer(parts, motion, label, kind, shadow=shadow, shadow_offset=offset)


def excursion(
  rng: np.random.Generator, position: complex, size: Size, radius: float, speed: float
) -> Path:
  """Leaves the frame through the nearer side and comes back, again and again."""
  w = size[1]
  gap = -position.real if position.real < w / 2 else w - position.real
  distance = gap + np.sign(gap) * rng.uniform(0.3, 1.5) * radius
  rate = speed * 2 * np.pi / rng.uniform(16, 48)
  half = complex(distance / 2, distance * rng.normal(0, 0.1))
  return Path(np.array([half]), np.array([rate]), np.array([-np.pi / 2]))


def arriving(
  rng: np.random.Generator, motion: Motion, size: Size, length: int
) -> Motion:
  """The motion of an object that is outside of the frame at t = 0 and comes in."""
  w = size[1]
  side = rng.choice([-1, 1])
  distance = (w - motion.start.real if side > 0 else motion.start.real) + 0.6 * w
  arrival = max(1.0, length * rng.uniform(0.3, 0.8))
  return dataclasses.replace(motion, entry=complex(side * distance), arrival=arrival)


def background(rng: np.random.Generator, size: Size, grounds: list[Palette]) -> Layer:
  """The scenery behind everything, larger than the frame and reflected beyond."""
  h, w = (int(1.5 * side) for side in size)
  image = to_bytes(scenery(rng, h, w, grounds))
  if rng.random() < 0.4:  # out of focus
    factor = rng.uniform(1.5, 4)
    small = (int(w / factor), int(h / factor))
    blurred = Image.fromarray(image).resize(small, Image.Resampling.BILINEAR)
    image = np.asarray(blurred.resize((w, h), Image.Resampling.BICUBIC))
  return _behind_everything(image, size, rng.uniform(0.7, 1.0))


def wall(rng: np.random.Generator, size: Size) -> Layer:
  """A bright background that shows nothing but light and shade."""
  h, w = (int(1.5 * side) for side in size)
  shade = 1 + 0.25 * (fractal(rng, h, w, 2.2) - 0.5)
  tint = rng.uniform(0.65, 0.95) * rng.normal(1, 0.03, 3).astype(np.float32)
  return _behind_everything(to_bytes([hue * shade for hue in tint]), size, 1.0)


def _behind_everything(
  colours: UInt8[np.ndarray, "h w 3"], size: Size, parallax: float
) -> Layer:
  h, w = colours.shape[:2]
  middle = complex(size[1] / 2, size[0] / 2)
  fixed = Motion(middle, STILL, 0.0, STILL, STILL)
  return Layer([Part(colours, complex(w / 2, h / 2))], fixed, parallax=parallax)


def occluders(
  rng: np.random.Generator, size: Size, near: list[Palette], speed: float
) -> list[Layer]:
  """Things in front of all objects: posts, branches, passers-by."""
  h, w = size
  layers = []
  for _ in range(int(rng.choice([0, 1, 2], p=[0.65, 0.25, 0.1]))):
    position = complex(rng.uniform(0, w), rng.uniform(0, h))
    layer = moving(
      rng, size, rng.uniform(0.08, 0.2), position, near, label=0, speed=speed
    )
    if rng.random() < 0.5:
      parts = rod(rng, 0.8 * h, [palette(rng)])
      still = Motion(position, STILL, rng.normal(0, 0.15), STILL, STILL)
      layer = dataclasses.replace(layer, parts=parts, motion=still)
    layers.append(
      dataclasses.replace(
        layer, parallax=rng.uniform(1.0, 1.8), softness=rng.choice([1.0, 2.5])
      )
    )
  return layers


def draw_camera(
  rng: np.random.Generator, size: Size, followed: Path, speed: float
) -> Camera:
  """A camera that is at rest, pans, is handheld, or follows the first object."""
  h, w = size
  scale = np.sqrt(h * w)
  hand = rng.choice([0.0, 0.3, 1.0], p=[0.3, 0.5, 0.2])
  pace = scale * speed * rng.choice([0.0, 0.008, 0.02])
  pan = roam(rng, complex(0.3 * w, 0.1 * h), pace)
  shake = roam(
    rng, scale * 0.012 * hand * (1 + 1j) + 1e-6 * (1 + 1j), 0.006 * scale * hand
  )
  follow = rng.uniform(0.4, 0.9) if rng.random() < 0.25 else 0.0
  zoom = wander(rng, rng.choice([0.02, 0.2]), 0.008 * speed)
  return Camera(
    complex(w / 2, h / 2),
    pan * float(pace > 0) + shake,
    wander(rng, 0.06 * hand + 1e-6, 0.01),
    zoom,
    followed,
    follow,
  )
