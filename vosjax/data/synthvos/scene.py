"""Draws up a scene from a seed: background, objects, distractors, camera."""

import dataclasses
import functools
import io

import numpy as np
from jaxtyping import Float, Int, UInt8
from PIL import Image
from scipy import special

from vosjax.data.sources import VOID
from vosjax.data.synthvos import render
from vosjax.data.synthvos.motion import Camera, Motion, Path, roam, wander
from vosjax.data.synthvos.render import Canvas, Layer
from vosjax.data.synthvos.shapes import STILL, Part, rod, thing
from vosjax.data.synthvos.textures import Palette, palette, scenery

COUNT_WEIGHTS = (0.32, 0.26, 0.2, 0.12, 0.1)  # of 1, 2, .. objects
NORMAL = special.ndtri((np.arange(256) + 0.5) / 256).astype(np.float32)  # quantiles
SMALLEST = 100 / (96 * 160)  # visible share of the first frame, for each object


@dataclasses.dataclass(frozen=True)
class Lens:
  """What happens between the scene and the file.

  Attributes:
    shutter: how long it is open, in frames; 0 = no motion blur.
    soften: passes of a 3-tap blur.
    noise: standard deviation of sensor noise, of 1.
    quality: of JPEG; 0 = none.
    light: logarithm of the brightness over time.
    cast: colour of the light.
    vignette: darkening of the corners, 0 to 1.
  """

  shutter: float
  soften: int
  noise: float
  quality: int
  light: Path
  cast: np.ndarray
  vignette: float


@dataclasses.dataclass(frozen=True)
class Scene:
  """Everything needed to draw any frame."""

  key: tuple[int, ...]
  size: tuple[int, int]
  layers: tuple[Layer, ...]  # back to front
  camera: Camera
  lens: Lens
  void: bool

  def render(
    self, index: Int[np.ndarray, " t"]
  ) -> tuple[UInt8[np.ndarray, "t h w 3"], UInt8[np.ndarray, "t h w"]]:
    """Frames and labels at the frame numbers `index`."""
    t = index.astype(np.float64)
    canvas = self.draw(t)
    labels = canvas.labels
    if self.void:
      labels[canvas.mixed] = VOID
    return self.develop(canvas.frames, t), labels

  def draw(self, t: Float[np.ndarray, " t"]) -> Canvas:
    canvas = Canvas.empty(len(t), *self.size)
    shutter = self.lens.shutter
    moments = np.linspace(-0.5, 0.5, 4) * shutter if shutter else np.zeros(1)
    for layer in self.layers:
      render.draw(canvas, layer, self.camera, t, moments)
    return canvas

  def develop(
    self, frames: Float[np.ndarray, "3 t h w"], t: Float[np.ndarray, " t"]
  ) -> UInt8[np.ndarray, "t h w 3"]:
    lens, (h, w) = self.lens, self.size
    y, x = np.linspace(-1, 1, h)[:, None], np.linspace(-1, 1, w)
    corners = 1 - lens.vignette * (y**2 + x**2) / 2
    gain = lens.cast[:, None] * np.exp(lens.light(t))
    out = np.empty((len(t), h, w, 3), np.uint8)
    for k, moment in enumerate(t):
      frame = frames[:, k] * (gain[:, k, None, None] * corners).astype(np.float32)
      for _ in range(lens.soften):
        frame = smooth(smooth(frame).swapaxes(1, 2)).swapaxes(1, 2)
      if lens.noise:
        rng = np.random.default_rng([*self.key, int(moment)])
        grain = rng.integers(0, 256, frame.shape, np.uint8)
        frame += (np.float32(lens.noise) * NORMAL).take(grain)
      frame = np.clip(frame, 0, 1) * np.float32(255) + np.float32(0.5)
      out[k] = np.moveaxis(frame, 0, -1)
      if lens.quality:
        out[k] = compress(out[k], lens.quality)
    return out


def smooth(frame: Float[np.ndarray, "3 y x"]) -> Float[np.ndarray, "3 y x"]:
  """A 1-2-1 blur of the rows; the borders stay."""
  out = frame.copy()
  out[:, 1:-1] = (frame[:, :-2] + 2 * frame[:, 1:-1] + frame[:, 2:]) / 4
  return out


def compress(picture: UInt8[np.ndarray, "h w 3"], quality: int):
  """A round trip through JPEG."""
  file = io.BytesIO()
  Image.fromarray(picture).save(file, "JPEG", quality=quality)
  return np.asarray(Image.open(file))


def build_scene(
  key: tuple[int, int],
  size: tuple[int, int],
  length: int,
  *,
  max_objects: int,
  late_objects: float,
  void: float,
  speed: float,
) -> Scene:
  """The scene of (seed, index), in which each tracked object shows at first.

  Objects that others hide in the first frame are taken out; where none is
  left the scene is drawn again from the next key.
  """
  for attempt in range(100):
    rng = np.random.default_rng([*key, attempt])
    scene = draw_up(
      rng, (*key, attempt), size, length, max_objects, late_objects, void, speed
    )
    scene = keep_visible(scene)
    if any(layer.label for layer in scene.layers):
      return scene
  raise ValueError(f"SynthVOS: no object fits into frames of {size}; use larger ones.")


def keep_visible(scene: Scene) -> Scene:
  """Takes out objects hardly seen in frame 0 and numbers the others from 1."""
  sharp = dataclasses.replace(
    scene, layers=scene.layers[1:], lens=dataclasses.replace(scene.lens, shutter=0.0)
  )
  canvas = sharp.draw(np.zeros(1))
  area = np.bincount(canvas.labels[~canvas.mixed], minlength=256)
  smallest = SMALLEST * scene.size[0] * scene.size[1]
  late = {k.label for k in scene.layers if getattr(k.motion, "arrival", 0)}
  ids = sorted({layer.label for layer in scene.layers} - {0})
  kept = [i for i in ids if area[i] >= smallest or i in late]
  if all(i in late for i in kept):
    kept = []
  renumber = {0: 0} | {old: new for new, old in enumerate(kept, start=1)}
  layers = tuple(
    dataclasses.replace(layer, label=renumber[layer.label])
    for layer in scene.layers
    if layer.label in renumber
  )
  return dataclasses.replace(scene, layers=layers)


def draw_up(
  rng, key, size, length, max_objects: int, late: float, void: float, speed: float
) -> Scene:
  h, w = size
  weights = np.array((*COUNT_WEIGHTS, *(0.05,) * max_objects)[:max_objects])
  count = 1 + int(rng.choice(max_objects, p=weights / weights.sum()))
  grounds = [palette(rng) for _ in range(int(rng.integers(1, 4)))]
  plate = background(rng, size, grounds)
  things = [rng.uniform(0.16, 0.34) * count**-0.35 for _ in range(count)]
  fakes = int(rng.choice([0, 1, 2, 3], p=[0.35, 0.3, 0.2, 0.15]))
  places = spread(rng, count + fakes, size)
  make = functools.partial(moving, rng, size, speed=speed)
  objects = []
  for k in range(count):
    layer = make(things[k], places[k], grounds, label=k + 1)
    if k and rng.random() < late:
      layer = dataclasses.replace(
        layer, motion=arriving(rng, layer.motion, size, length)
      )
    objects.append(layer)
  for k in range(fakes):
    distractor = make(rng.uniform(0.08, 0.25), places[count + k], grounds, label=0)
    if rng.random() < 0.4:  # the double of an object
      twin = objects[int(rng.integers(count))]
      distractor = dataclasses.replace(distractor, parts=twin.parts)
    elif rng.random() < 0.5:  # part of the scenery
      motion = dataclasses.replace(
        distractor.motion, move=STILL, spin=STILL, grow=STILL
      )
      distractor = dataclasses.replace(distractor, motion=motion)
    objects.append(distractor)
  followed = objects[0].motion.move
  layers = [objects[k] for k in rng.permutation(len(objects))]
  layers += occluders(rng, size, grounds, speed)
  return Scene(
    key,
    size,
    (plate, *layers),
    film(rng, size, followed, speed),
    develop(rng),
    bool(rng.random() < void),
  )


def spread(rng, count: int, size: tuple[int, int]) -> list[complex]:
  """Places in the frame, each the farthest of some random ones."""
  h, w = size
  places: list[complex] = []
  for _ in range(count):
    x, y = rng.uniform(0.15 * w, 0.85 * w, 8), rng.uniform(0.2 * h, 0.8 * h, 8)
    options = x + 1j * y
    gaps = [min([abs(option - p) for p in places], default=0) for option in options]
    places.append(complex(options[int(np.argmax(gaps))]))
  return places


def moving(rng, size, radius: float, place: complex, near, *, label: int, speed: float):
  """A thing that roams; radius is a share of the frame."""
  h, w = size
  scale = np.sqrt(h * w)
  pace = scale * speed * min(rng.lognormal(np.log(0.017), 0.6), 0.07)
  reach = complex(w * rng.uniform(0.15, 0.7), h * rng.uniform(0.05, 0.5))
  spins = rng.random() < 0.3
  motion = Motion(
    place,
    roam(rng, reach, pace),
    rng.normal(0, 0.3) if rng.random() < 0.7 else rng.uniform(0, 2 * np.pi),
    wander(rng, 2.5 if spins else 0.35, (0.12 if spins else 0.04) * speed),
    wander(rng, rng.uniform(0.1, 0.5), 0.025 * speed),
  )
  shadow = rng.uniform(0.15, 0.5) if rng.random() < 0.4 else 0.0
  offset = (
    int(0.04 * scale * rng.uniform(0, 1)),
    int(0.04 * scale * rng.uniform(-1, 1)),
  )
  return Layer(
    thing(rng, radius * scale, near), motion, label, shadow=shadow, shadow_offset=offset
  )


def arriving(rng, motion: Motion, size, length: int) -> Motion:
  """The motion of an object that is outside at t = 0 and comes in."""
  h, w = size
  side = rng.choice([-1, 1])
  distance = (w - motion.start.real if side > 0 else motion.start.real) + 0.6 * w
  arrival = max(1.0, length * rng.uniform(0.3, 0.8))
  return dataclasses.replace(motion, entry=complex(side * distance), arrival=arrival)


def background(rng, size, grounds: list[Palette]) -> Layer:
  """The scenery behind everything, larger than the frame and mirrored."""
  h, w = (int(1.5 * side) for side in size)
  picture = scenery(rng, h, w, grounds)
  if rng.random() < 0.4:  # out of focus
    small = Image.fromarray((np.clip(picture, 0, 1) * 255).astype(np.uint8))
    factor = rng.uniform(1.5, 4)
    small = small.resize((int(w / factor), int(h / factor)), Image.Resampling.BILINEAR)
    small = small.resize((w, h), Image.Resampling.BICUBIC)
    picture = np.asarray(small, np.float32) / 255
  pixels = np.ascontiguousarray(np.moveaxis(picture, -1, 0))
  middle = complex(size[1] / 2, size[0] / 2)
  fixed = Motion(middle, STILL, 0.0, STILL, STILL)
  return Layer(
    [Part(pixels, complex(w / 2, h / 2))], fixed, parallax=rng.uniform(0.7, 1.0)
  )


def occluders(rng, size, near, speed: float) -> list[Layer]:
  """Things in front of all objects: posts, branches, passers-by."""
  h, w = size
  layers = []
  for _ in range(int(rng.choice([0, 1, 2], p=[0.65, 0.25, 0.1]))):
    place = complex(rng.uniform(0, w), rng.uniform(0, h))
    layer = moving(rng, size, rng.uniform(0.08, 0.2), place, near, label=0, speed=speed)
    if rng.random() < 0.5:
      parts = rod(rng, 0.8 * h, [palette(rng)])
      still = Motion(place, STILL, rng.normal(0, 0.15), STILL, STILL)
      layer = dataclasses.replace(layer, parts=parts, motion=still)
    layers.append(
      dataclasses.replace(
        layer, parallax=rng.uniform(1.0, 1.8), softness=rng.choice([1.0, 2.5])
      )
    )
  return layers


def film(rng, size, followed: Path, speed: float) -> Camera:
  """A camera at rest, panning, in the hand, or following the first object."""
  h, w = size
  scale = np.sqrt(h * w)
  hand = rng.choice([0.0, 0.3, 1.0], p=[0.3, 0.5, 0.2])
  pace = scale * speed * rng.choice([0.0, 0.008, 0.02])
  pan = roam(rng, complex(0.3 * w, 0.1 * h), pace)
  shake = roam(
    rng, scale * 0.012 * hand * (1 + 1j) + 1e-6 * (1 + 1j), 0.006 * scale * hand
  )
  both = Path(
    np.concatenate([pan.amplitude * (pace > 0), shake.amplitude]),
    np.concatenate([pan.rate, shake.rate]),
    np.concatenate([pan.phase, shake.phase]),
  )
  follow = rng.uniform(0.4, 0.9) if rng.random() < 0.25 else 0.0
  zoom = wander(rng, rng.choice([0.02, 0.2]), 0.008 * speed)
  return Camera(
    complex(w / 2, h / 2),
    both,
    wander(rng, 0.06 * hand + 1e-6, 0.01),
    zoom,
    followed,
    follow,
  )


def develop(rng) -> Lens:
  return Lens(
    shutter=rng.uniform(0.2, 0.9) if rng.random() < 0.25 else 0.0,
    soften=int(rng.choice([0, 1, 2], p=[0.6, 0.3, 0.1])),
    noise=rng.uniform(0.005, 0.04) if rng.random() < 0.6 else 0.0,
    quality=int(rng.integers(35, 92)) if rng.random() < 0.35 else 0,
    light=wander(rng, rng.choice([0.03, 0.3]), rng.choice([0.003, 0.03])),
    cast=rng.normal(1, 0.05, 3) * rng.uniform(0.75, 1.15),
    vignette=rng.uniform(0, 0.4),
  )
