"""Draws layers on top of each other, many frames at a time."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from vosjax.data.synthvos.motion import Camera, Motion, Pose, Times
from vosjax.data.synthvos.shapes import Part

PIXELS_AT_ONCE = 16_384  # keeps the working set in the processor's cache
STILL_PIXELS = 0.4  # parts that move less during the exposure are not blurred
MIXED = (0.1, 0.9)  # a pixel whose coverage is between these belongs to no object

Indices = Int[np.ndarray, " _"]
Rows = Float[np.ndarray, "_ _ 1"]
Columns = Float[np.ndarray, "_ 1 _"]
Patches = Float[np.ndarray, "t y x"]


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


@dataclasses.dataclass
class Canvas:
  """What has been drawn so far.

  Attributes:
    frames: RGB, 0 to 1.
    labels: object ids.
    mixed: pixels covered in part by things of different ids.
  """

  frames: Float[np.ndarray, "3 t h w"]
  labels: UInt8[np.ndarray, "t h w"]
  mixed: Bool[np.ndarray, "t h w"]

  @classmethod
  def empty(cls, length: int, h: int, w: int) -> "Canvas":
    return cls(
      np.zeros((3, length, h, w), np.float32),
      np.zeros((length, h, w), np.uint8),
      np.zeros((length, h, w), bool),
    )


def column(values: np.ndarray) -> Rows:
  """One number per frame, shaped to broadcast over the pixels of the frame."""
  return values.astype(np.float32)[:, None, None]


def locate(
  part: Part, pose: Pose, t: Times, y: Rows, x: Columns
) -> tuple[Patches, Patches]:
  """Column and row in the image of a part that each pixel of the screen shows."""
  back = 1 / pose.turn
  dx, dy = x - column(pose.shift.real), y - column(pose.shift.imag)
  u = column(back.real) * dx - column(back.imag) * dy
  v = column(back.imag) * dx + column(back.real) * dy
  height, waves, rate = part.ripple
  if height:
    v += np.float32(height) * np.sin(np.float32(waves) * u + column(rate * t))
    u += np.float32(height) * np.sin(np.float32(waves) * v + column(1.3 * rate * t))
  u += np.float32(part.origin.real)
  v += np.float32(part.origin.imag)
  return u, v


def reflect(u: np.ndarray, last: int) -> np.ndarray:
  """Folds coordinates back into the range 0 to `last`."""
  period = np.float32(2 * last)
  return np.abs(u - period * np.round(u / period))


def sample(
  part: Part, pose: Pose, t: Times, y: Rows, x: Columns, softness: float
) -> tuple[Float[np.ndarray, "3 t y x"], Patches]:
  """Premultiplied colour and coverage of a part on the screen.

  Args:
    part: what to sample.
    pose: from the part to the screen.
    t: the times.
    y: rows of the pixels on the screen.
    x: their columns.
    softness: width of the outline, in pixels.
  """
  channels, rows, columns = part.pixels.shape
  u, v = locate(part, pose, t, y, x)
  if channels == 3:
    u, v = reflect(u, columns - 1), reflect(v, rows - 1)
  u = np.clip(u, 0, np.float32(columns - 1.01))
  v = np.clip(v, 0, np.float32(rows - 1.01))
  left, top = u.astype(np.int32), v.astype(np.int32)
  u -= left
  v -= top
  table, corner = part.pixels.reshape(channels, -1), top * columns + left
  lower_right = u * v
  values = table.take(corner, 1) * (1 - u - v + lower_right)
  values += table.take(corner + 1, 1) * (u - lower_right)
  values += table.take(corner + columns, 1) * (v - lower_right)
  values += table.take(corner + (columns + 1), 1) * lower_right
  if channels == 3:
    return values, np.ones_like(u)
  share = column(np.clip(np.abs(part.morph(t)), 0, 1))
  inside = values[3] + share * (values[4] - values[3])
  alpha = inside * column(np.abs(pose.turn) / softness)
  alpha = np.clip(alpha + np.float32(0.5), 0, 1)
  return values[:3] * alpha, alpha


def window(
  part: Part, pose: Pose, margin: np.ndarray, h: int, w: int
) -> tuple[Indices, Indices, Indices, tuple[int, int]]:
  """The frames in which a part may be visible, and the box that contains it in each.

  Returns:
    Indices into t, first rows, first columns, and the common (rows, columns) of all
    boxes.
  """
  slack = margin + abs(part.ripple[0]) * np.abs(pose.turn)
  points = pose.turn[:, None] * part.corners + pose.shift[:, None]
  if part.pixels.shape[0] == 3:
    points = np.tile(np.array([0, w + 1j * h]), (len(points), 1))
  low = np.stack([points.imag.min(1) - slack, points.real.min(1) - slack], axis=1)
  high = np.stack([points.imag.max(1) + slack, points.real.max(1) + slack], axis=1)
  low, high = np.maximum(np.floor(low), 0), np.minimum(np.ceil(high), [h, w])
  visible = np.flatnonzero((low < high).all(axis=1))
  if not len(visible):
    return visible, visible, visible, (0, 0)
  low, high = low[visible].astype(int), high[visible].astype(int)
  rows, columns = (high - low).max(axis=0).tolist()
  return (
    visible,
    np.minimum(low[:, 0], h - rows),
    np.minimum(low[:, 1], w - columns),
    (rows, columns),
  )


def draw(
  canvas: Canvas,
  layer: Layer,
  camera: Camera,
  t: Times,
  moments: Float[np.ndarray, " m"],
) -> None:
  """Draws one layer on top of the canvas.

  Args:
    canvas: changed in position.
    layer: what to draw.
    camera: that sees it.
    t: frame numbers.
    moments: times within the exposure, relative to each frame, see `Lens`.
  """
  h, w = canvas.labels.shape[1:]
  times = [t, *(t + moment for moment in moments if len(moments) > 1)]
  worlds = [camera.view(at, layer.parallax) @ layer.motion(at) for at in times]
  for part in layer.parts:
    poses = [world @ part.pose(at) for world, at in zip(worlds, times)]
    travel = displacement(part, poses)
    margin = layer.softness + 2 + travel
    index, top, left, box = window(part, poses[0], margin, h, w)
    blurred = travel[index] > STILL_PIXELS
    present = (layer.span[0] <= t[index]) & (t[index] < layer.span[1])
    for moves, looks in ((~blurred, slice(0, 1)), (blurred, slice(1, None))):
      group = moves & present
      where = index[group], top[group], left[group]
      paint(canvas, layer, part, poses[looks], times[looks], where, box)


def displacement(part: Part, poses: Sequence[Pose]) -> Times:
  """Largest distance of a corner from its position in the first pose, in pixels."""
  corners = [pose.turn[:, None] * part.corners + pose.shift[:, None] for pose in poses]
  return np.abs(np.stack(corners) - corners[0]).max(axis=(0, 2))


def paint(
  canvas: Canvas,
  layer: Layer,
  part: Part,
  poses: Sequence[Pose],
  times: Sequence[Times],
  where: tuple[Indices, Indices, Indices],
  box: tuple[int, int],
) -> None:
  """Samples a part in a box of each frame, averages its poses, and blends it in."""
  rows, columns = box
  batch = max(1, PIXELS_AT_ONCE // max(rows * columns, 1))
  for k in range(0, len(where[0]), batch):
    index, top, left = (each[k : k + batch] for each in where)
    y = (top[:, None, None] + np.arange(rows)[:, None]).astype(np.float32)
    x = (left[:, None, None] + np.arange(columns)).astype(np.float32)
    colour, alpha = sample(part, poses[0][index], times[0][index], y, x, layer.softness)
    for pose, at in zip(poses[1:], times[1:]):
      more = sample(part, pose[index], at[index], y, x, layer.softness)
      colour += more[0]
      alpha += more[1]
    if len(poses) > 1:
      colour /= np.float32(len(poses))
      alpha /= np.float32(len(poses))
    blend(canvas, layer, index, top, left, colour, alpha)


def blend(
  canvas: Canvas,
  layer: Layer,
  index: Indices,
  y0: Indices,
  x0: Indices,
  colour: Float[np.ndarray, "3 t y x"],
  alpha: Patches,
) -> None:
  """Blends sampled patches into the canvas."""
  rows, columns = alpha.shape[1:]
  touched, full, inside = alpha > MIXED[0], alpha >= MIXED[1], alpha > 0.5
  if layer.shadow:
    cast_shadow(canvas, layer, index, y0, x0, alpha)
  rest = 1 - alpha
  for k, i in enumerate(index):
    at = np.s_[i, y0[k] : y0[k] + rows, x0[k] : x0[k] + columns]
    patch = canvas.frames[(slice(None), *at)]
    patch *= rest[k]
    patch += colour[:, k]
    labels, mixed = canvas.labels[at], canvas.mixed[at]
    mixed |= touched[k] & (labels != layer.label)
    mixed &= ~full[k]
    labels[inside[k]] = layer.label


def cast_shadow(
  canvas: Canvas,
  layer: Layer,
  index: Indices,
  y0: Indices,
  x0: Indices,
  alpha: Patches,
) -> None:
  """Darkens what lies behind a layer, displaced by its `shadow_offset`."""
  h, w = canvas.labels.shape[1:]
  rows, columns = alpha.shape[1:]
  light = 1 - np.float32(layer.shadow) * alpha
  for k, i in enumerate(index):
    y, x = y0[k] + layer.shadow_offset[0], x0[k] + layer.shadow_offset[1]
    top, left = max(y, 0), max(x, 0)
    bottom, right = min(y + rows, h), min(x + columns, w)
    if top < bottom and left < right:
      patch = canvas.frames[:, i, top:bottom, left:right]
      patch *= light[k, top - y : bottom - y, left - x : right - x]
