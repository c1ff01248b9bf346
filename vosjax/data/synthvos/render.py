"""Draws layers on top of each other, in bytes and with Pillow."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool
from PIL import Image, ImageChops

from vosjax.data.synthvos.motion import Camera, Motion, Pose, Times, View
from vosjax.data.synthvos.parts import Part, enlarge, pack, to_image

_MIXED = (25, 230)  # a pixel whose coverage is between these belongs to no object
_HALF = 127  # coverage above which a pixel shows a thing
_AFFINE, _NEAREST = Image.Transform.AFFINE, Image.Resampling.NEAREST
_BILINEAR = Image.Resampling.BILINEAR
_REACH = 4  # pixels beyond the frame that enlarging the background looks at


@dataclasses.dataclass(frozen=True)
class Layer:
  """A thing in the scene.

  Attributes:
    parts: its pieces, back to front.
    motion: its pose in the world.
    label: object id, 0 = background.
    kind: one of `shapes.KINDS`; "" for scenery.
    parallax: how far camera motion shifts it; below 1 is far, above 1 near.
    softness: width of its outline in pixels; above 1 is out of focus.
    shadow: darkness of the shadow that it casts, 0 to 1.
    shadow_offset: displacement of the shadow, in pixels.
    span: time from which it is present, and time from which it is gone.
  """

  parts: Sequence[Part]
  motion: Motion
  label: int = 0
  kind: str = ""
  parallax: float = 1.0
  softness: float = 1.0
  shadow: float = 0.0
  shadow_offset: tuple[int, int] = (0, 0)
  span: tuple[float, float] = (-np.inf, np.inf)

  def poses(self, view: View, t: Times) -> list[Pose]:
    """From each part to the screen, as the camera sees it at the times `t`."""
    world = view(self.parallax) @ self.motion(t)
    return [world @ part.pose(t) for part in self.parts]


class Canvas:
  """What has been drawn so far of one frame.

  Attributes:
    shape: columns and rows.
    image: RGBA, of which alpha has no meaning, or None: only labels are drawn.
    labels: object ids, or None: only colours are drawn.
    mixed: where things of different ids cover a pixel in part, or None.
  """

  def __init__(
    self, size: tuple[int, int], *, colours: bool, labels: bool, mixed: bool
  ):
    self.shape = shape = (size[1], size[0])
    self.image = Image.new("RGBA", shape) if colours else None
    self.labels = np.zeros(size, np.uint8) if labels else None
    self.mixed = np.zeros(size, bool) if labels and mixed else None


def draw(
  canvases: Sequence[Canvas], layer: Layer, view: View, t: Times, middles: Times
) -> None:
  """Draws one layer on top of each canvas.

  Args:
    canvases: changed in place; all of one size.
    layer: what to draw.
    view: of the camera at the times `t`.
    t: time that each canvas shows.
    middles: of the exposure that each canvas is part of: the time for what changes
      slowly, such as outlines.
  """
  present = (layer.span[0] <= middles) & (middles < layer.span[1])
  for part, pose in zip(layer.parts, layer.poses(view, t)):
    if part.outline.size:
      _draw_part(canvases, layer, part, pose, middles, present)
    else:
      _draw_scenery(canvases, part, pose)


def travel(layers: Sequence[Layer], camera: Camera, t: Times, shutter: float) -> Times:
  """Pixels that the fastest corner of any layer moves during each exposure."""
  moments = [t + side * shutter / 2 for side in (-1.0, 1.0)]
  views = [camera.views(moment) for moment in moments]
  ways = []
  for layer in layers:
    before, after = (layer.poses(*pair) for pair in zip(views, moments))
    ways += [_way(part, a, b) for part, a, b in zip(layer.parts, before, after)]
  return np.max(ways, axis=0)


def _way(part: Part, before: Pose, after: Pose) -> Times:
  """Pixels that the fastest corner of a part moves."""
  turn, shift = after.turn - before.turn, after.shift - before.shift
  return np.abs(turn[:, None] * part.corners + shift[:, None]).max(axis=1)


def _draw_part(
  canvases: Sequence[Canvas],
  layer: Layer,
  part: Part,
  pose: Pose,
  middles: Times,
  present: Bool[np.ndarray, " t"],
) -> None:
  areas = boxes(part, pose, layer.softness + 1, canvases[0].shape)
  visible = present & (areas[:, 0] < areas[:, 2]) & (areas[:, 1] < areas[:, 3])
  if not visible.any():
    return
  scales = np.abs(pose.turn).tolist()
  backs = (1 / pose.turn).tolist()
  shifts = pose.shift.tolist()
  times = middles.tolist()
  for k in np.flatnonzero(visible).tolist():
    canvas, (x0, y0, x1, y1) = canvases[k], areas[k].tolist()
    box, corner = (x1 - x0, y1 - y0), complex(x0, y0)
    inside = part.coverage(times[k], scales[k] / layer.softness)
    matrix = affine(backs[k], shifts[k], inside.origin, corner, inside.density)
    # Rough outlines suffice for moments of an exposure, which are averaged.
    how = _NEAREST if canvas.labels is None else _BILINEAR
    alpha = inside.image.transform(box, _AFFINE, matrix, how)
    if not alpha.getbbox():
      continue
    if canvas.image:
      if layer.shadow:
        down, across = layer.shadow_offset
        darkness = Image.new("L", box, round(255 * layer.shadow))
        shade = ImageChops.multiply(alpha, darkness)
        # An image of one colour takes a third of the time of pasting the colour.
        black = Image.new("RGBA", box)
        canvas.image.paste(black, (x0 + across, y0 + down), shade)
      surface = part.surface(times[k], scales[k])
      matrix = affine(backs[k], shifts[k], surface.origin, corner, surface.density)
      painted = surface.image.transform(box, _AFFINE, matrix, _NEAREST)
      canvas.image.paste(painted, (x0, y0), alpha)
    if canvas.labels is not None:
      area, levels = np.s_[y0:y1, x0:x1], np.asarray(alpha)
      labels = canvas.labels[area]
      if canvas.mixed is not None:
        mixed = canvas.mixed[area]
        mixed |= (levels > _MIXED[0]) & (labels != layer.label)
        mixed &= levels <= _MIXED[1]
      np.copyto(labels, layer.label, where=levels > _HALF)


def boxes(part: Part, pose: Pose, margin: float, size: tuple[int, int]) -> np.ndarray:
  """Left, top, right and bottom of a part on the screen, for each time."""
  slack = margin + abs(part.ripple[0]) * np.abs(pose.turn)
  points = pose.turn[:, None] * part.corners + pose.shift[:, None]
  low_x, low_y = points.real.min(1) - slack, points.imag.min(1) - slack
  high_x, high_y = points.real.max(1) + slack, points.imag.max(1) + slack
  edges = np.stack([low_x, low_y, high_x + 1, high_y + 1], axis=1)
  w, h = size
  return np.clip(edges, 0, [w, h, w, h]).astype(int)


def _draw_scenery(canvases: Sequence[Canvas], part: Part, pose: Pose) -> None:
  """Fills the frame with an image that continues by reflection."""
  shown = [k for k, canvas in enumerate(canvases) if canvas.image]
  if not shown:
    return
  w, h = canvases[0].shape
  frame = np.array([0, w, 1j * h, w + 1j * h])
  back = 1 / pose.turn[shown]
  seen = back[:, None] * (frame - pose.shift[shown, None]) + part.origin
  top, left = (int(np.floor(v.min())) - _REACH for v in (seen.imag, seen.real))
  bottom, right = (int(np.ceil(v.max())) + _REACH for v in (seen.imag, seen.real))
  rows, columns = part.colours.shape[:2]
  crop = part.colours.take(reflect(np.arange(top, bottom), rows - 1), axis=0)
  crop = crop.take(reflect(np.arange(left, right), columns - 1), axis=1)
  enlarged = to_image(enlarge(pack(crop)))
  corner = complex(left, top)
  for k, turn in zip(shown, back):
    matrix = affine(turn, pose.shift[k], part.origin - corner, 0j, 2.0)
    canvases[k].image = enlarged.transform((w, h), _AFFINE, matrix, _NEAREST)


def reflect(u: np.ndarray, last: int) -> np.ndarray:
  """Folds coordinates back into the range 0 to `last`."""
  period = 2 * last
  return np.abs(u - period * np.round(u / max(period, 1)).astype(int))


def affine(
  back: complex, shift: complex, origin: complex, corner: complex, density: float
) -> tuple[float, float, float, float, float, float]:
  """Pillow's coefficients, from pixels of a box on the screen to those of an image.

  Args:
    back: rotation and scale from the screen to the part.
    shift: position of the joint on the screen.
    origin: position of the joint in the image of the part.
    corner: of the box on the screen.
    density: pixels of the image for each pixel of the part.
  """
  # Pillow measures from the corners of pixels, everything here from their centres.
  half = 0.5 + 0.5j
  offset = density * (back * (corner - shift - half) + origin) + half
  a, b = density * back.real, density * back.imag
  return (a, -b, offset.real, b, a, offset.imag)
