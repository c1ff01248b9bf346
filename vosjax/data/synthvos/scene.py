"""Draws up a scene from a seed, and draws its frames."""

import dataclasses

import numpy as np
from jaxtyping import Float, Int, UInt8

from vosjax.data.synthvos import actors, render
from vosjax.data.synthvos.lens import Lens, draw_lens
from vosjax.data.synthvos.motion import STILL, Camera, Motion
from vosjax.data.synthvos.render import Canvas, Layer
from vosjax.data.synthvos.textures import Palette, palette
from vosjax.data.video import VOID

COUNT_WEIGHTS = (0.32, 0.26, 0.2, 0.12, 0.1)  # of 1, 2, .. objects; 0.05 for more
SMALLEST = 100 / (96 * 160)  # visible share of the first frame, for each object


@dataclasses.dataclass(frozen=True)
class Recipe:
  """What all videos of a set have in common; see `SynthVos`."""

  size: tuple[int, int]
  length: int
  max_objects: int
  late_objects: float
  void: float
  speed: float
  object_size: float
  clutter: float
  kinds: tuple[str, ...]
  plain: float
  strangers: int
  camouflage: float


@dataclasses.dataclass(frozen=True)
class Scene:
  """Everything needed to draw any frame.

  Attributes:
    key: seed of the sensor noise.
    size: rows and columns of a frame.
    layers: what there is, back to front; the first is the background.
    camera: where it is seen from.
    lens: what becomes of it on the way to the file.
    void: mixed pixels are labelled void.
  """

  key: tuple[int, ...]
  size: tuple[int, int]
  layers: tuple[Layer, ...]
  camera: Camera
  lens: Lens
  void: bool

  @property
  def kinds(self) -> dict[int, str]:
    """What each tracked object is: one of `shapes.KINDS`, by object id."""
    return {layer.label: layer.kind for layer in self.layers if layer.label}

  def render(
    self, index: Int[np.ndarray, " t"]
  ) -> tuple[UInt8[np.ndarray, "t h w 3"], UInt8[np.ndarray, "t h w"]]:
    """Frames and labels at the frame numbers `index`."""
    t = index.astype(np.float64)
    canvas = self.draw(t)
    if self.void:
      canvas.labels[canvas.mixed] = VOID
    return self.lens.develop(canvas.frames, t, self.key), canvas.labels

  def draw(self, t: Float[np.ndarray, " t"]) -> Canvas:
    """The scene in linear colours, before the lens."""
    canvas = Canvas.empty(len(t), *self.size)
    for layer in self.layers:
      render.draw(canvas, layer, self.camera, t, self.lens.moments)
    return canvas


def build_scene(key: tuple[int, int], recipe: Recipe) -> Scene:
  """The scene of (seed, index), in which each tracked object shows at first.

  Objects that others hide in the first frame are taken out; where none is
  left the scene is drawn up again.

  Raises:
    ValueError: no object is ever large enough to be seen.
  """
  for attempt in range(100):
    scene = keep_visible(draw_up((*key, attempt), recipe))
    if any(layer.label for layer in scene.layers):
      return scene
  raise ValueError(
    f"size={recipe.size}: no object fits into frames this narrow; use wider ones."
  )


def keep_visible(scene: Scene) -> Scene:
  """Takes out objects hardly seen in frame 0 and numbers the others from 1."""
  sharp = dataclasses.replace(
    scene, layers=scene.layers[1:], lens=dataclasses.replace(scene.lens, shutter=0.0)
  )
  canvas = sharp.draw(np.zeros(1))
  area = np.bincount(canvas.labels[~canvas.mixed], minlength=256)
  smallest = SMALLEST * scene.size[0] * scene.size[1]
  late = {k.label for k in scene.layers if k.motion.arrival}
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


def draw_up(key: tuple[int, ...], recipe: Recipe) -> Scene:
  """A scene that may hide some of its objects."""
  rng, size, speed = np.random.default_rng(key), recipe.size, recipe.speed
  weights = np.full(recipe.max_objects, 0.05)
  weights[: len(COUNT_WEIGHTS)] = COUNT_WEIGHTS[: recipe.max_objects]
  count = 1 + int(rng.choice(len(weights), p=weights / weights.sum()))
  fakes = int(rng.choice([0, 1, 2, 3], p=[0.35, 0.3, 0.2, 0.15]))
  fakes *= int(rng.random() < recipe.clutter)
  grounds = [palette(rng, natural=0.75) for _ in range(int(rng.integers(1, 4)))]
  plain = recipe.plain and rng.random() < recipe.plain
  plate = actors.wall(rng, size) if plain else actors.background(rng, size, grounds)
  places = actors.spread(rng, count + fakes, size)
  things = []
  for k in range(count):
    radius = recipe.object_size * rng.uniform(0.17, 0.4) * count**-0.35
    layer = actors.moving(
      rng,
      size,
      radius,
      places[k],
      grounds,
      label=k + 1,
      speed=speed,
      kinds=recipe.kinds,
      camouflage=recipe.camouflage,
    )
    if k and rng.random() < recipe.late_objects:
      motion = actors.arriving(rng, layer.motion, size, recipe.length)
      layer = dataclasses.replace(layer, motion=motion)
    things.append(layer)
  followed = things[0].motion.move
  things += [
    distractor(rng, recipe, place, grounds, things[:count]) for place in places[count:]
  ]
  if recipe.strangers:  # without any, the other draws stay as they are
    things += strangers(np.random.default_rng((*key, 1)), recipe, grounds)
  front = actors.occluders(rng, size, grounds, speed)
  return Scene(
    key,
    size,
    (
      plate,
      *(things[k] for k in rng.permutation(len(things))),
      *(front if rng.random() < recipe.clutter else ()),
    ),
    actors.film(rng, size, followed, speed),
    draw_lens(rng),
    bool(rng.random() < recipe.void),
  )


def strangers(
  rng: np.random.Generator, recipe: Recipe, near: list[Palette]
) -> list[Layer]:
  """Background that looks like an object in each frame, but comes and goes.

  Each of the wanted number gives way to another one several times in a video.
  """
  layers, length = [], recipe.length
  for _ in range(recipe.strangers):
    start = -length * rng.uniform(0.0, 0.3)
    while start < length:
      stop = start + length * rng.uniform(0.15, 0.35)
      layer = actors.moving(
        rng,
        recipe.size,
        recipe.object_size * rng.uniform(0.17, 0.4),
        actors.spread(rng, 1, recipe.size)[0],
        near,
        label=0,
        speed=recipe.speed,
        kinds=recipe.kinds,
      )
      layers.append(dataclasses.replace(layer, span=(start, stop)))
      start = stop
  return layers


def distractor(
  rng: np.random.Generator,
  recipe: Recipe,
  place: complex,
  near: list[Palette],
  objects: list[Layer],
) -> Layer:
  """Background that looks like an object: a double, at rest or on its own way."""
  radius = rng.uniform(0.08, 0.25)
  layer = actors.moving(
    rng, recipe.size, radius, place, near, label=0, speed=recipe.speed
  )
  kind = rng.random()
  if kind < 0.4:
    twin = objects[int(rng.integers(len(objects)))]
    return dataclasses.replace(layer, parts=twin.parts)
  if kind < 0.7:
    at_rest = Motion(place, STILL, layer.motion.angle, STILL, STILL)
    return dataclasses.replace(layer, motion=at_rest)
  return layer
