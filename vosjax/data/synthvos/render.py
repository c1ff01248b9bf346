"""Draws layers over each other, many frames at a time."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Bool, Float, UInt8

from vosjax.data.synthvos.motion import Camera, Pose, Times
from vosjax.data.synthvos.shapes import Part

MIXED = (0.1, 0.9)  # a pixel covered between these shares belongs to no one


@dataclasses.dataclass(frozen=True)
class Layer:
  """A thing in the scene.

  Attributes:
    parts: its pieces, back to front.
    motion: its pose in the world.
    label: object id, 0 = background.
    parallax: how much camera motion shifts it; under 1 is far, over 1 near.
    softness: width of its outline, pixels; over 1 is out of focus.
    shadow: darkness of what it throws on things behind, 0 to 1.
    shadow_offset: where the shadow falls, pixels.
  """

  parts: Sequence[Part]
  motion: Callable[[Times], Pose]
  label: int = 0
  parallax: float = 1.0
  softness: float = 1.0
  shadow: float = 0.0
  shadow_offset: tuple[int, int] = (0, 0)


@dataclasses.dataclass
class Canvas:
  """What has been drawn so far.

  Attributes:
    frames: RGB, 0 to 1.
    labels: object ids.
    mixed: pixels shared by things of different ids.
  """

  frames: Float[np.ndarray, "t h w 3"]
  labels: UInt8[np.ndarray, "t h w"]
  mixed: Bool[np.ndarray, "t h w"]

  @classmethod
  def empty(cls, length: int, h: int, w: int) -> "Canvas":
    return cls(
      np.zeros((length, h, w, 3), np.float32),
      np.zeros((length, h, w), np.uint8),
      np.zeros((length, h, w), bool),
    )


def sample(part: Part, pose: Pose, t: Times, y, x, softness: float):
  """Premultiplied colour and coverage [t y x] of a part at screen pixels.

  Args:
    part: what to sample.
    pose: from the part to the screen.
    t: the moments.
    y: rows [t y 1].
    x: columns [t 1 x].
    softness: width of the outline, pixels.
  """
  def column(values):
    return values.astype(np.float32)[:, None, None]

  rows, columns = part.pixels.shape[:2]
  back = 1 / pose.turn
  dx, dy = x - column(pose.shift.real), y - column(pose.shift.imag)
  u = column(back.real) * dx - column(back.imag) * dy
  v = column(back.imag) * dx + column(back.real) * dy
  height, waves, rate = part.ripple
  if height:
    v += np.float32(height) * np.sin(np.float32(waves) * u + column(rate * t))
    u += np.float32(height) * np.sin(np.float32(waves) * v + column(1.3 * rate * t))
  u, v = u + np.float32(columns // 2), v + np.float32(rows // 2)
  if part.mirrored:
    u = np.abs((u + (columns - 1)) % (2 * columns - 2) - (columns - 1))
    v = np.abs((v + (rows - 1)) % (2 * rows - 2) - (rows - 1))
  u = np.clip(u, 0, np.float32(columns - 1.01))
  v = np.clip(v, 0, np.float32(rows - 1.01))
  left, top = u.astype(np.int32), v.astype(np.int32)
  fu, fv = (u - left)[..., None], (v - top)[..., None]
  table = part.pixels.reshape(-1, 5)
  corner = top * columns + left
  upper = table.take(corner, 0)
  upper += fu * (table.take(corner + 1, 0) - upper)
  lower = table.take(corner + columns, 0)
  lower += fu * (table.take(corner + columns + 1, 0) - lower)
  upper += fv * (lower - upper)
  share = column(np.clip(np.abs(part.morph(t)), 0, 1))
  inside = upper[..., 3] + share * (upper[..., 4] - upper[..., 3])
  scale = column(np.abs(pose.turn) / softness)
  alpha = np.clip(np.float32(0.5) + inside * scale, 0, 1)
  return upper[..., :3] * alpha[..., None], alpha


def draw(
  canvas: Canvas, layer: Layer, camera: Camera, t: Times, moments: Times
) -> None:
  """Puts one layer on top of the canvas.

  Args:
    canvas: changed in place.
    layer: what to draw.
    camera: where from.
    t: frame numbers.
    moments: offsets from each frame while the shutter is open.
  """
  h, w = canvas.labels.shape[1:]
  thing = camera.view(t, layer.parallax) @ layer.motion(t)
  for part in layer.parts:
    pose = thing @ part.pose(t)
    reach = part.radius * np.abs(pose.turn) + layer.softness
    reach = reach + 4 if len(moments) == 1 else reach * 1.15 + 6
    seen = (pose.shift.real > -reach) & (pose.shift.real < w + reach)
    seen &= (pose.shift.imag > -reach) & (pose.shift.imag < h + reach)
    if not seen.any():
      continue
    rows = min(h, int(2 * reach[seen].max()) + 1)
    columns = min(w, int(2 * reach[seen].max()) + 1)
    y0 = np.clip(np.round(pose.shift.imag - rows / 2), 0, h - rows).astype(int)[seen]
    x0 = np.clip(np.round(pose.shift.real - columns / 2), 0, w - columns).astype(int)[seen]
    y = (y0[:, None, None] + np.arange(rows)[:, None]).astype(np.float32)
    x = (x0[:, None, None] + np.arange(columns)).astype(np.float32)
    colour = alpha = np.float32(0)
    for offset in moments:
      at = t[seen] + offset
      now = camera.view(at, layer.parallax) @ layer.motion(at) @ part.pose(at)
      sampled = sample(part, now, at, y, x, layer.softness)
      colour, alpha = colour + sampled[0], alpha + sampled[1]
    share = np.float32(1 / len(moments))
    blend(canvas, layer, np.flatnonzero(seen), y0, x0, colour * share, alpha * share)


def blend(canvas: Canvas, layer: Layer, index, y0, x0, colour, alpha) -> None:
  """Lays sampled patches over the canvas at their places."""
  h, w = canvas.labels.shape[1:]
  rows, columns = alpha.shape[1:]
  touched, full = alpha > MIXED[0], alpha >= MIXED[1]
  inside = alpha > 0.5
  if layer.shadow:
    shade = 1 - np.float32(layer.shadow) * alpha[..., None]
    for k, i in enumerate(index):
      y, x = y0[k] + layer.shadow_offset[0], x0[k] + layer.shadow_offset[1]
      top, left, bottom, right = max(y, 0), max(x, 0), min(y + rows, h), min(x + columns, w)
      if top < bottom and left < right:
        canvas.frames[i, top:bottom, left:right] *= shade[k, top - y : bottom - y, left - x : right - x]
  rest = 1 - alpha[..., None]
  for k, i in enumerate(index):
    at = np.s_[i, y0[k] : y0[k] + rows, x0[k] : x0[k] + columns]
    patch = canvas.frames[at]
    patch *= rest[k]
    patch += colour[k]
    labels, mixed = canvas.labels[at], canvas.mixed[at]
    mixed |= touched[k] & (labels != layer.label)
    mixed &= ~full[k]
    labels[inside[k]] = layer.label
