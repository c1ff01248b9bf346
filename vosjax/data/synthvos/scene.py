"""Composes a random scene from a seed, and renders its frames."""

import dataclasses

import numpy as np
from jaxtyping import Float, Int, UInt8

from vosjax.data.synthvos import actors, render
from vosjax.data.synthvos.lens import Lens, draw_lens
from vosjax.data.synthvos.motion import STILL, Camera, Motion
from vosjax.data.synthvos.render import Canvas, Layer
from vosjax.data.synthvos.textures import Palette, palette
from vosjax.labels import VOID

COUNT_WEIGHTS = (0.32, 0.26, 0.2, 0.12, 0.1)  # of 1, 2, ... objects; 0.05 beyond
MIN_AREA = 100 / (96 * 160)  # visible fraction of the first frame, of each object


@dataclasses.dataclass(frozen=True)
class Recipe:
  """What all videos of a dataset have in common; see `SynthVos`."""

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
  distractors: int
  camouflage: float


@dataclasses.dataclass(frozen=True)
class Scene:
  """Everything needed to render any frame.

  Attributes:
    key: seed of the sensor noise.
    size: rows and columns of a frame.
    layers: from back to front; the first one is the background.
    camera: that sees the scene.
    lens: between the scene and the file.
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
    """The kind of each tracked object by id, one of `shapes.KINDS`."""
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
  """The scene of (seed, index), in which each tracked object is visible at first.

  Objects that are occluded in the first frame are removed; if none is left, another
  scene is composed.

  Raises:
    ValueError: no object is ever large enough to be visible.
  """
  for attempt in range(100):
    scene = keep_visible(compose((*key, attempt), recipe))
    if any(layer.label for layer in scene.layers):
      return scene
  raise ValueError(
    f"size={recipe.size}: no object fits into frames this narrow; use wider ones."
  )


def keep_visible(scene: Scene) -> Scene:
  """Removes objects hardly visible in frame 0, and numbers the others from 1."""
  sharp = dataclasses.replace(
    scene, layers=scene.layers[1:], lens=dataclasses.replace(scene.lens, shutter=0.0)
  )
  canvas = sharp.draw(np.zeros(1))
  area = np.bincount(canvas.labels[~canvas.mixed], minlength=256)
  min_area = MIN_AREA * scene.size[0] * scene.size[1]
  late = {k.label for k in scene.layers if k.motion.arrival}
  ids = sorted({layer.label for layer in scene.layers} - {0})
  kept = [i for i in ids if area[i] >= min_area or i in late]
  if all(i in late for i in kept):
    kept = []
  renumber = {0: 0} | {old: new for new, old in enumerate(kept, start=1)}
  layers = tuple(
    dataclasses.replace(layer, label=renumber[layer.label])
    for layer in scene.layers
    if layer.label in renumber
  )
  return dataclasses.replace(scene, layers=layers)


def compose(key: tuple[int, ...], recipe: Recipe) -> Scene:
  """A random scene, which may occlude some of its objects."""
  rng, size, speed = np.random.default_rng(key), recipe.size, recipe.speed
  weights = np.full(recipe.max_objects, 0.05)
  weights[: len(COUNT_WEIGHTS)] = COUNT_WEIGHTS[: recipe.max_objects]
  count = 1 + int(rng.choice(len(weights), p=weights / weights.sum()))
  lookalikes = int(rng.choice([0, 1, 2, 3], p=[0.35, 0.3, 0.2, 0.15]))
  lookalikes *= int(rng.random() < recipe.clutter)
  grounds = [palette(rng, natural=0.75) for _ in range(int(rng.integers(1, 4)))]
  plain = recipe.plain and rng.random() < recipe.plain
  plate = actors.wall(rng, size) if plain else actors.background(rng, size, grounds)
  positions = actors.spread(rng, count + lookalikes, size)
  things = []
  for k in range(count):
    radius = recipe.object_size * rng.uniform(0.17, 0.4) * count**-0.35
    layer = actors.moving(
      rng,
      size,
      radius,
      positions[k],
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
    lookalike(rng, recipe, position, grounds, things[:count])
    for position in positions[count:]
  ]
  if recipe.distractors:
    # With a generator of their own, so that they change nothing else in the scene.
    things += distractors(np.random.default_rng((*key, 1)), recipe, grounds)
  front = actors.occluders(rng, size, grounds, speed)
  return Scene(
    key,
    size,
    (
      plate,
      *(things[k] for k in rng.permutation(len(things))),
      *(front if rng.random() < recipe.clutter else ()),
    ),
    actors.draw_camera(rng, size, followed, speed),
    draw_lens(rng),
    bool(rng.random() < recipe.void),
  )


def distractors(
  rng: np.random.Generator, recipe: Recipe, near: list[Palette]
) -> list[Layer]:
  """Background things that look like objects in any single frame, but come and go.

  `recipe.distractors` of them are present at any time, each of which is replaced
  several times in a video.
  """
  layers, length = [], recipe.length
  for _ in range(recipe.distractors):
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


def lookalike(
  rng: np.random.Generator,
  recipe: Recipe,
  position: complex,
  near: list[Palette],
  objects: list[Layer],
) -> Layer:
  """Background that looks like an object: a copy of one, at rest, or on its own way."""
  radius = rng.uniform(0.08, 0.25)
  layer = actors.moving(
    rng, recipe.size, radius, position, near, label=0, speed=recipe.speed
  )
  choice = rng.random()
  if choice < 0.4:
    twin = objects[int(rng.integers(len(objects)))]
    return dataclasses.replace(layer, parts=twin.parts)
  if choice < 0.7:
    at_rest = Motion(position, STILL, layer.motion.angle, STILL, STILL)
    return dataclasses.replace(layer, motion=at_rest)
  return layer
