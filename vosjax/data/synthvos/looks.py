"""What real video asks beyond moving shapes: each look changes one aspect of a scene.

Each look has a generator of its own, so that its random numbers are the same whichever
others are on.
"""

import dataclasses

import numpy as np

from vosjax.data.synthvos.lens import Lens
from vosjax.data.synthvos.motion import STILL, Camera, Motion, Path, roam, wander
from vosjax.data.synthvos.parts import Part
from vosjax.data.synthvos.render import Layer
from vosjax.data.synthvos.shapes import blob, hanging, rod, thing
from vosjax.data.synthvos.textures import (
  Palette,
  fractal,
  mix,
  palette,
  texture,
  to_bytes,
)

# Settings that are looks. Each place belongs to a generator, so append only.
NAMES = (
  "variety",
  "approach",
  "turning",
  "thin",
  "twins",
  "passing",
  "footage",
  "subject",
)
MAX_APPROACH = 4.0  # factor by which the size of an approaching object changes
_MIN_FRAMES = 6  # length of a video to which the speed of looks is fitted at least
_GREY = np.array([0.3, 0.6, 0.1], np.float32)  # brightness of red, green and blue


def sweep(reach: complex | float, duration: float) -> Path:
  """From 0 at full speed to `reach` after `duration` frames, and slowly back."""
  return Path(np.array([reach]), np.array([np.pi / 2 / duration]), np.zeros(1))


def crossing(velocity: complex, middle: float) -> Path:
  """Nearly uniform motion, fastest at the time `middle`."""
  rate = 0.02
  return Path(np.array([velocity / rate]), np.array([rate]), np.array([-rate * middle]))


def own_colours(part: Part) -> Palette:
  """The colours of a part as a palette, from dark to bright."""
  colours = part.colours.reshape(-1, 3).astype(np.float32) / 255
  order = np.argsort(colours @ _GREY)
  return colours[order[np.linspace(0, len(order) - 1, 256).astype(int)]]


def bulk(layer: Layer) -> float:
  """Half of the side of the largest part's image, in pixels on the screen."""
  areas = [np.prod(part.extent) for part in layer.parts]
  return 0.5 * layer.motion.scale * float(np.sqrt(max(areas)))


def approach_factor(rng: np.random.Generator) -> float:
  """Final size of an approaching object, relative to its first; below 1: it leaves."""
  factor = np.exp(rng.uniform(np.log(1.3), np.log(MAX_APPROACH)))
  return float(factor if rng.random() < 0.6 else 1 / factor)


def approaching(
  rng: np.random.Generator, motion: Motion, factor: float, length: int
) -> Motion:
  """The motion of an object whose size changes by `factor`, smoothly.

  Its parts are expected to be `detail(factor)` times as large as at first.
  """
  duration = rng.uniform(1.0, 4.0) * max(length, _MIN_FRAMES)
  grow = motion.grow + sweep(np.log(factor), duration)
  return dataclasses.replace(motion, grow=grow, scale=1 / detail(factor))


def detail(factor: float) -> float:
  """Resolution of an approaching object's parts, relative to its first size."""
  return min(max(factor, 1.0), 2.0)


def turning(rng: np.random.Generator, parts: list[Part], length: int) -> list[Part]:
  """Parts that turn: other surfaces come into view, and a part that was hidden."""
  duration = rng.uniform(1.0, 3.0) * max(length, _MIN_FRAMES)
  side = rng.choice([-1.0, 1.0])
  others = [palette(rng) for _ in range(2)]
  turned = []
  for part in parts:
    if min(part.extent) > 12 and rng.random() < 0.8:
      part = _wrap(rng, part, others, side, duration)
    turned.append(part)
  body = max(parts, key=lambda part: np.prod(part.extent))
  for _ in range(int(rng.integers(0, 3))):
    size = 0.5 * np.sqrt(np.prod(body.extent))
    out = size * rng.uniform(0.7, 1.1) * np.exp(1j * rng.uniform(0, 2 * np.pi))
    hidden = blob(
      rng,
      size * rng.uniform(0.3, 0.5),
      others[int(rng.integers(2))],
      0.3,
      joint=body.joint,
      shift=sweep(out, rng.uniform(0.5, 1.0) * duration),
    )
    turned.insert(0, hidden)
  return turned


def _wrap(
  rng: np.random.Generator,
  part: Part,
  others: list[Palette],
  side: float,
  duration: float,
) -> Part:
  """A part on which other surfaces follow its own on both sides, and move in."""
  h, w = part.outline.shape
  wide = int(w * rng.uniform(0.5, 0.9))
  mirrored = np.pad(part.colours, ((0, 0), (wide, wide), (0, 0)), "symmetric")
  surface = list(np.moveaxis(mirrored, -1, 0).astype(np.float32) / 255)
  ragged = fractal(rng, h, w + 2 * wide, 1.6) - np.float32(0.5)
  across = np.arange(w + 2 * wide, dtype=np.float32) - np.float32(wide + w / 2)
  for k, colours in enumerate(others):
    edge = np.float32(w * rng.uniform(0.15, 0.5))
    beyond = (2 * k - 1) * across - edge + np.float32(0.6 * w) * ragged
    mix(surface, texture(rng, h, w + 2 * wide, colours), np.clip(beyond / 2, 0, 1))
  # Seen from its side, a thing has another width.
  squeeze = np.float32(rng.uniform(0.6, 1.0))
  columns = (np.arange(w) - part.origin.real) / squeeze + part.origin.real
  changed = part.outline[:, np.clip(np.round(columns), 0, w - 1).astype(int)]
  return dataclasses.replace(
    part,
    colours=to_bytes(surface),
    changed=changed,
    morph=sweep(1.0, duration),
    ripple=(0.0, 0.0, 0.0),
    slide=sweep(side * wide, duration),
  )


def thin_parts(rng: np.random.Generator, parts: list[Part]) -> list[Part]:
  """Parts with jointed legs, tails or ropes of a few pixels in width."""
  body = max(parts, key=lambda part: np.prod(part.extent))
  size = 0.5 * np.sqrt(np.prod(body.extent))
  dress = own_colours(body) if rng.random() < 0.5 else palette(rng)
  rate, down = rng.uniform(0.1, 0.7), rng.random() < 0.6
  limbs: list[Part] = []
  for k in range(int(rng.integers(1, 6))):
    length = size * rng.uniform(0.4, 1.0)
    thick = max(0.7, size * rng.uniform(0.02, 0.08))
    angle = rng.normal(0, 0.3) if down else rng.uniform(0, 2 * np.pi)
    swing = Path(
      np.array([rng.uniform(0.2, 0.7)]), np.array([rate]), np.array([k * np.pi])
    )
    upper = hanging(
      rng,
      length,
      thick,
      dress,
      joint=body.joint
      + 0.6 * size * rng.uniform(0.3, 1.0) * np.exp(1j * (angle + np.pi / 2)),
      angle=angle,
      swing=swing,
    )
    lower = hanging(
      rng,
      length * rng.uniform(0.6, 1.1),
      0.8 * thick,
      dress,
      joint=1j * length,
      angle=rng.normal(0, 0.5),
      swing=swing * rng.uniform(-1.0, 1.0),
      carrier=upper,
    )
    limbs += [upper, lower]
  return [*limbs, *parts] if rng.random() < 0.6 else [*parts, *limbs]


def twin(rng: np.random.Generator, layer: Layer, radius: float) -> Layer:
  """Background beside an object that has its parts, or others of the same colours."""
  parts = layer.parts
  if rng.random() < 0.5:
    colours = [own_colours(part) for part in parts[:3]]
    kind, parts = thing(rng, radius, colours, (layer.kind,), colours=colours)
  beside = np.exp(1j * rng.choice([0, np.pi]) + 1j * rng.normal(0, 0.4))
  gap = bulk(layer) * rng.uniform(1.2, 3.0)
  motion = dataclasses.replace(
    layer.motion,
    start=layer.motion.start + gap * beside,
    move=layer.motion.move * rng.uniform(-0.5, 1.2)
    + roam(rng, gap * (0.6 + 0.3j), 0.05 * gap),
    angle=layer.motion.angle + rng.normal(0, 0.2),
    scale=layer.motion.scale * rng.uniform(0.7, 1.2),
  )
  return dataclasses.replace(layer, parts=parts, motion=motion, label=0)


def passing(
  rng: np.random.Generator, layer: Layer, near: list[Palette], length: int
) -> Layer:
  """Something in front of all that hides an object for some frames."""
  size = bulk(layer)
  radius = size * rng.uniform(0.7, 1.8)
  middle = length * rng.uniform(0.3, 0.8)
  heading = np.exp(1j * rng.choice([0, np.pi]) + 1j * rng.normal(0, 0.3))
  hidden = rng.uniform(1.5, max(3.0, 0.4 * length))  # frames
  move = crossing(heading * 2 * (size + radius) / hidden, middle)
  at = np.array([middle])
  start = layer.motion(at).shift[0] - move(at)[0]
  if rng.random() < 0.4:
    radius *= 0.7
    parts, angle = (
      rod(rng, 3 * size + radius, [palette(rng)]),
      np.pi / 2 + rng.normal(0, 0.3),
    )
  else:
    parts, angle = thing(rng, radius, near)[1], rng.normal(0, 0.3)
  motion = Motion(start, move, angle, wander(rng, 0.2, 0.03), STILL)
  return Layer(parts, motion, softness=rng.choice([1.0, 2.5]))


def leaving(
  rng: np.random.Generator, motion: Motion, size: tuple[int, int], length: int
) -> Motion:
  """Leaves the frame through the nearer side, and comes back if there is time."""
  w = size[1]
  gap = -motion.start.real if motion.start.real < w / 2 else w - motion.start.real
  distance = gap + np.sign(gap) * rng.uniform(0.0, 0.1) * w
  duration = rng.uniform(0.5, 1.2) * max(length, 1.5 * _MIN_FRAMES)
  return dataclasses.replace(
    motion, move=motion.move + sweep(complex(distance), duration)
  )


def handheld(rng: np.random.Generator, camera: Camera, scale: float) -> Camera:
  """A camera that shakes, pans, and often follows the first object.

  `scale` is the square root of the frame's area, in pixels.
  """
  reach, pace = rng.uniform(0.01, 0.04), rng.uniform(0.003, 0.015)
  shake = roam(rng, scale * reach * (1 + 1j), scale * pace)
  pan = roam(rng, scale * (0.4 + 0.1j), scale * rng.choice([0.0, 0.01, 0.03]))
  return dataclasses.replace(
    camera,
    pan=camera.pan + shake + pan,
    roll=camera.roll + wander(rng, rng.uniform(0.01, 0.08), 0.01),
    zoom=camera.zoom + wander(rng, rng.uniform(0.02, 0.3), 0.015),
    follow=rng.uniform(0.5, 1.0) if rng.random() < 0.5 else camera.follow,
  )


def footage(rng: np.random.Generator, lens: Lens) -> Lens:
  """Long exposure, changing light and strong compression, each in most videos."""
  if rng.random() < 0.6:
    lens = dataclasses.replace(lens, shutter=rng.uniform(0.3, 1.0))
  if rng.random() < 0.5:
    light = wander(rng, rng.uniform(0.1, 0.4), rng.uniform(0.02, 0.08))
    lens = dataclasses.replace(lens, light=lens.light + light)
  if rng.random() < 0.7:
    lens = dataclasses.replace(lens, quality=int(rng.integers(15, 70)))
  return lens


def near_middle(rng: np.random.Generator, size: tuple[int, int]) -> complex:
  """Where the subject of a video is: those who film keep it near the middle."""
  h, w = size
  across, down = 0.5 + 0.13 * rng.normal(), 0.52 + 0.09 * rng.normal()
  return complex(w * across, h * down)


def subject(rng: np.random.Generator, layer: Layer) -> Layer:
  """A tracked object that mostly stays where it is."""
  if rng.random() < 0.2:
    return layer
  move = layer.motion.move * rng.uniform(0.15, 0.7)
  motion = dataclasses.replace(layer.motion, move=move)
  return dataclasses.replace(layer, motion=motion)


def companion(rng: np.random.Generator, layer: Layer, carrier: Layer) -> Layer:
  """An object that mostly goes with another one: a rider, a bag, a dog on a leash."""
  if rng.random() < 0.3:
    return layer
  gap = 0.5 * (bulk(layer) + bulk(carrier)) * rng.uniform(0.6, 1.6)
  offset = layer.motion.start - carrier.motion.start
  beside = carrier.motion.start + gap * offset / max(abs(offset), 1e-6)
  move = carrier.motion.move + layer.motion.move * 0.15
  motion = dataclasses.replace(layer.motion, start=beside, move=move)
  return dataclasses.replace(layer, motion=motion)


def resting(rng: np.random.Generator, layer: Layer) -> Layer:
  """A background thing that mostly does not move."""
  if rng.random() < 0.15:
    return layer
  motion = dataclasses.replace(layer.motion, move=STILL, spin=STILL, grow=STILL)
  return dataclasses.replace(layer, motion=motion)


def following(rng: np.random.Generator, camera: Camera) -> Camera:
  """A camera that in half of the videos follows the first object closely."""
  if rng.random() < 0.5:
    return camera
  return dataclasses.replace(camera, follow=rng.uniform(0.6, 1.0))
