"""Composes a random scene from a seed, and renders its frames."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Int, UInt8
from PIL import Image

from vosjax.data.synthvos import actors, looks, render
from vosjax.data.synthvos.lens import Lens, draw_lens
from vosjax.data.synthvos.motion import STILL, Camera, Motion, Times
from vosjax.data.synthvos.render import Canvas, Layer
from vosjax.data.synthvos.settings import Settings
from vosjax.data.synthvos.textures import Palette, keep_memory, palette
from vosjax.labels import VOID

COUNT_WEIGHTS = (0.32, 0.26, 0.2, 0.12, 0.1)  # of 1, 2, ... objects; 0.05 beyond
MOMENT_PIXELS = 3.0  # the fastest thing moves this far between averaged moments
MAX_MOMENTS = 5
MAX_RADIUS = 0.5  # of a tracked object, relative to the square root of the frame's area
MIN_AREA = 100 / (96 * 160)  # visible fraction of the first frame, of each object


@dataclasses.dataclass(frozen=True, kw_only=True)
class SceneSettings(Settings):
  """What all videos of a dataset have in common.

  Attributes:
    size: rows and columns of a frame.
    length: frames of a video.
  """

  size: tuple[int, int]
  length: int


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
    counts = self._exposures(t)
    canvases = [
      Canvas(self.size, colours=True, labels=k == count // 2, mixed=self.void)
      for count in counts
      for k in range(count)
    ]
    moments = [(np.arange(count) + 0.5) / count - 0.5 for count in counts]
    middles = np.repeat(t, counts)
    exposed = middles + self.lens.shutter * np.concatenate(moments)
    self._draw(canvases, exposed, middles)
    groups = np.split(np.arange(len(canvases)), np.cumsum(counts)[:-1])
    exposures = (_average([canvases[k].image for k in group]) for group in groups)
    frames = np.stack(list(self.lens.develop(exposures, index, self.key)))
    return frames, self._labels(canvases)

  def label(self, index: Int[np.ndarray, " t"]) -> UInt8[np.ndarray, "t h w"]:
    """Object ids at the frame numbers, in the middle of each exposure."""
    canvases = [
      Canvas(self.size, colours=False, labels=True, mixed=self.void) for _ in index
    ]
    t = index.astype(np.float64)
    self._draw(canvases, t, t)
    return self._labels(canvases)

  def _labels(self, canvases: Sequence[Canvas]) -> UInt8[np.ndarray, "t h w"]:
    labels = [canvas.labels for canvas in canvases if canvas.labels is not None]
    mixed = [canvas.mixed for canvas in canvases if canvas.mixed is not None]
    stacked = np.stack(labels)
    if mixed:
      stacked[np.stack(mixed)] = VOID
    return stacked

  def _exposures(self, t: Times) -> list[int]:
    """How many moments of each exposure are averaged: an odd number of them."""
    shutter = self.lens.shutter
    if not shutter:
      return [1] * len(t)
    way = render.travel(self.layers, self.camera, t, shutter)
    half = np.ceil(way / (2 * MOMENT_PIXELS) - 0.5)
    return (1 + 2 * np.clip(half, 0, MAX_MOMENTS // 2).astype(int)).tolist()

  def _draw(self, canvases: Sequence[Canvas], t: Times, middles: Times) -> None:
    view = self.camera.views(t)
    for layer in self.layers:
      render.draw(canvases, layer, view, t, middles)


def _average(images: list[Image.Image]) -> Image.Image:
  if len(images) == 1:
    return images[0].convert("RGB")
  total = np.zeros((*images[0].size[::-1], 4), np.uint16)
  for image in images:
    total += np.asarray(image)
  mean = (total + len(images) // 2) // len(images)
  return Image.fromarray(mean.astype(np.uint8)).convert("RGB")


def build_scene(key: tuple[int, int], settings: SceneSettings) -> Scene:
  """The scene of (seed, index), in which each tracked object is visible at first.

  Objects that are occluded in the first frame are removed; if none is left, another
  scene is composed.

  Raises:
    ValueError: no object is ever large enough to be visible.
  """
  keep_memory()
  for attempt in range(100):
    scene = keep_visible(compose((*key, attempt), settings))
    if any(layer.label for layer in scene.layers):
      return scene
  raise ValueError(
    f"size={settings.size}: no object fits into frames this narrow; use wider ones."
  )


def keep_visible(scene: Scene) -> Scene:
  """Removes objects hardly visible in frame 0, and numbers the others from 1."""
  sure = dataclasses.replace(scene, layers=scene.layers[1:], void=True)
  area = np.bincount(sure.label(np.zeros(1, int)).ravel(), minlength=256)
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


def compose(key: tuple[int, ...], settings: SceneSettings) -> Scene:
  """A random scene, which may occlude some of its objects."""
  rng, size = np.random.default_rng(key), settings.size
  # A generator for each look, so that none changes the draws of the others.
  own = {
    name: np.random.default_rng((*key, 2, k)) for k, name in enumerate(looks.NAMES)
  }

  def vary() -> float:
    return np.exp(settings.variety * np.clip(own["variety"].normal(), -2, 2))

  speed = settings.speed * vary()
  weights = np.full(settings.max_objects, 0.05)
  weights[: len(COUNT_WEIGHTS)] = COUNT_WEIGHTS[: settings.max_objects]
  count = 1 + int(rng.choice(len(weights), p=weights / weights.sum()))
  lookalikes = int(rng.choice([0, 1, 2, 3], p=[0.35, 0.3, 0.2, 0.15]))
  lookalikes *= int(rng.random() < settings.clutter)
  grounds = [palette(rng, natural=0.75) for _ in range(int(rng.integers(1, 4)))]
  plain = settings.plain and rng.random() < settings.plain
  plate = actors.wall(rng, size) if plain else actors.background(rng, size, grounds)
  positions = actors.spread(rng, count + lookalikes, size)
  subject = own["subject"]
  about_one = subject.random() < settings.subject
  if about_one:
    positions[0] = looks.near_middle(subject, size)
  things: list[Layer] = []
  passers: list[Layer] = []
  for k in range(count):
    radius = settings.object_size * rng.uniform(0.17, 0.4) * count**-0.35
    if settings.variety:
      radius = min(radius * vary(), MAX_RADIUS)
    factor = 1.0
    if own["approach"].random() < settings.approach:
      factor = looks.approach_factor(own["approach"])
    layer = actors.moving(
      rng,
      size,
      radius * looks.detail(factor),
      positions[k],
      grounds,
      label=k + 1,
      speed=speed,
      kinds=settings.kinds,
      camouflage=settings.camouflage,
    )
    if about_one:
      layer = looks.subject(subject, layer)
      layer = looks.companion(subject, layer, things[0]) if k else layer
    layer = _change(own, settings, layer, factor)
    if k and rng.random() < settings.late_objects:
      motion = actors.arriving(rng, layer.motion, size, settings.length)
      layer = dataclasses.replace(layer, motion=motion)
    passing = own["passing"]
    if passing.random() < settings.passing:
      if passing.random() < 0.5:
        motion = looks.leaving(passing, layer.motion, size, settings.length)
        layer = dataclasses.replace(layer, motion=motion)
      else:
        passers.append(looks.passing(passing, layer, grounds, settings.length))
    things.append(layer)
  followed = things[0].motion.move
  scenery = [
    lookalike(rng, settings, position, grounds, things[:count])
    for position in positions[count:]
  ]
  things += [looks.resting(subject, k) if about_one else k for k in scenery]
  if settings.distractors:
    # With a generator of their own, so that they change nothing else in the scene.
    things += distractors(np.random.default_rng((*key, 1)), settings, grounds)
  twins = [
    looks.twin(own["twins"], layer, looks.bulk(layer))
    for layer in things[:count]
    if own["twins"].random() < settings.twins
  ]
  front = actors.occluders(rng, size, grounds, speed)
  things = [things[k] for k in rng.permutation(len(things))]
  for twin in twins:  # which leave the order of the others as it is
    things.insert(int(own["twins"].integers(len(things) + 1)), twin)
  front = [*passers, *(front if rng.random() < settings.clutter else ())]
  camera = actors.draw_camera(rng, size, followed, speed)
  lens = draw_lens(rng)
  footage = own["footage"]
  if footage.random() < settings.footage:
    camera = looks.handheld(footage, camera, np.sqrt(size[0] * size[1]))
    lens = looks.footage(footage, lens)
  if about_one:
    camera = looks.following(subject, camera)
  void = bool(rng.random() < settings.void)
  layers = (plate, *things, *front)
  return Scene(key, size, layers, camera, lens, void)


def _change(
  own: Mapping[str, np.random.Generator],
  settings: SceneSettings,
  layer: Layer,
  factor: float,
) -> Layer:
  """An object whose looks are drawn as the settings say."""
  parts, motion = list(layer.parts), layer.motion
  if factor != 1:
    motion = looks.approaching(own["approach"], motion, factor, settings.length)
  if own["thin"].random() < settings.thin:
    parts = looks.thin_parts(own["thin"], parts)
  if own["turning"].random() < settings.turning:
    parts = looks.turning(own["turning"], parts, settings.length)
  return dataclasses.replace(layer, parts=parts, motion=motion)


def distractors(
  rng: np.random.Generator, settings: SceneSettings, near: list[Palette]
) -> list[Layer]:
  """Background things that look like objects in any single frame, but come and go.

  `settings.distractors` of them are present at any time, each of which is replaced
  several times in a video.
  """
  layers, length = [], settings.length
  for _ in range(settings.distractors):
    start = -length * rng.uniform(0.0, 0.3)
    while start < length:
      stop = start + length * rng.uniform(0.15, 0.35)
      layer = actors.moving(
        rng,
        settings.size,
        settings.object_size * rng.uniform(0.17, 0.4),
        actors.spread(rng, 1, settings.size)[0],
        near,
        label=0,
        speed=settings.speed,
        kinds=settings.kinds,
      )
      layers.append(dataclasses.replace(layer, span=(start, stop)))
      start = stop
  return layers


def lookalike(
  rng: np.random.Generator,
  settings: SceneSettings,
  position: complex,
  near: list[Palette],
  objects: list[Layer],
) -> Layer:
  """Background that looks like an object: a copy of one, at rest, or on its own way."""
  radius = rng.uniform(0.08, 0.25)
  layer = actors.moving(
    rng, settings.size, radius, position, near, label=0, speed=settings.speed
  )
  choice = rng.random()
  if choice < 0.4:
    twin = objects[int(rng.integers(len(objects)))]
    return dataclasses.replace(layer, parts=twin.parts)
  if choice < 0.7:
    at_rest = Motion(position, STILL, layer.motion.angle, STILL, STILL)
    return dataclasses.replace(layer, motion=at_rest)
  return layer
