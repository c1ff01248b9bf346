"""Labels drawn over frames."""

import functools

import numpy as np
from jaxtyping import Bool, Integer, UInt8
from PIL import Image

from vosjax.labels import VOID
from vosjax.viz.colors import bright_palette

HALO_ALPHA = 0.35  # opacity of the thin dark line around an outline


def overlay(
  frame: UInt8[np.ndarray, "h w 3"],
  labels: Integer[np.ndarray, "_ _"] | Bool[np.ndarray, "_ _"],
  *,
  alpha: float = 0.45,
  contours: bool = True,
) -> UInt8[np.ndarray, "h w 3"]:
  """Tints each object in its palette colour and draws its outline.

  Args:
    frame: RGB.
    labels: of the frame's size, 0 is background, 255 is void (tinted half as much),
      and other values are object ids; or the Boolean mask of one object.
    alpha: opacity of the tint, from 0 (none) to 1 (opaque).
    contours: draw outlines, with a thin dark line around them; their width is
      proportional to the size of the frame.

  Raises:
    ValueError: frame and labels differ in size, `labels` are not in 0 to 255, or
      `alpha` is not in [0, 1].
  """
  if frame.shape[:2] != labels.shape:
    raise ValueError(
      f"overlay(): labels are {_size(labels)}, the frame is {_size(frame)}. "
      "Resize the labels (nearest neighbour) to the frame."
    )
  if not 0 <= alpha <= 1:
    raise ValueError(f"overlay(): alpha is {alpha}; expected a number in [0, 1].")
  if labels.size and not 0 <= int(labels.min()) <= int(labels.max()) <= VOID:
    raise ValueError(
      f"overlay(): labels range from {labels.min()} to {labels.max()}; expected 0 to "
      "255."
    )
  labels = labels.astype(np.uint8)
  width = max(1, round(min(labels.shape) / 240)) if contours else 0
  image = np.array(frame)
  if labels.any():
    box = _box(labels, margin=width + 1)
    image[box] = _draw(frame[box], labels[box], alpha, width)
  return image


def _box(labels: UInt8[np.ndarray, "h w"], margin: int) -> tuple[slice, slice]:
  """The rectangle around all that is labelled, larger by `margin` on each side."""
  rows = np.flatnonzero(labels.any(1))
  columns = np.flatnonzero(labels[rows[0] : rows[-1] + 1].any(0))
  first_row, first_column = max(0, rows[0] - margin), max(0, columns[0] - margin)
  return (
    slice(first_row, rows[-1] + 1 + margin),
    slice(first_column, columns[-1] + 1 + margin),
  )


def _draw(
  frame: UInt8[np.ndarray, "h w 3"],
  labels: UInt8[np.ndarray, "h w"],
  alpha: float,
  width: int,
) -> UInt8[np.ndarray, "h w 3"]:
  """The tint of `overlay`, and outlines of this width; 0 leaves them out."""
  strength = np.full(256, round(255 * alpha), np.uint8)
  strength[[0, VOID]] = 0, round(255 * alpha / 2)
  image = Image.fromarray(frame)
  opacity = Image.fromarray(strength[labels])
  image.paste(_paint(labels, bright_palette()), mask=opacity)
  if width:
    inside = (labels != 0) & (labels != VOID)
    border = _borders(np.where(inside, labels, 0), width)
    line = _soften(border & inside, 1.0) * inside
    shade = _soften(border & ~inside, HALO_ALPHA) * ~inside
    image.paste(_paint(labels, _line_palette()), mask=Image.fromarray(line | shade))
  return np.asarray(image)


def _paint(
  labels: UInt8[np.ndarray, "h w"], colors: UInt8[np.ndarray, "256 3"]
) -> Image.Image:
  """An RGB image of labels in these colours."""
  image = Image.fromarray(labels)
  image.putpalette(colors.tobytes())
  return image.convert("RGB")


@functools.cache
def _line_palette() -> UInt8[np.ndarray, "256 3"]:
  """Colours of outlines: lighter than the tint, and black outside of objects."""
  colors = bright_palette().astype(np.float32)
  lighter = (colors + 0.25 * (255 - colors)).round().astype(np.uint8)
  lighter[[0, VOID]] = 0
  return lighter


def _borders(labels: UInt8[np.ndarray, "h w"], width: int) -> Bool[np.ndarray, "h w"]:
  """Pixels within `width` of a change of label, on both sides of it."""
  border = np.zeros(labels.shape, bool)
  down = labels[1:] != labels[:-1]
  right = labels[:, 1:] != labels[:, :-1]
  border[1:] |= down
  border[:-1] |= down
  border[:, 1:] |= right
  border[:, :-1] |= right
  for _ in range(width - 1):
    grown = border.copy()
    grown[1:] |= border[:-1]
    grown[:-1] |= border[1:]
    border = grown.copy()
    border[:, 1:] |= grown[:, :-1]
    border[:, :-1] |= grown[:, 1:]
  return border


def _soften(mask: Bool[np.ndarray, "h w"], alpha: float) -> UInt8[np.ndarray, "h w"]:
  """The mask as opacity from 0 to 255 * alpha, with smooth edges.

  The filter is a Gaussian of 0.7 pixels as whole numbers, (3, 8, 3) in each direction,
  whose sum of 14 * 14 = 196 fits in a byte.
  """
  pixels = mask.view(np.uint8)
  rows = pixels * np.uint8(8)
  side = pixels * np.uint8(3)
  rows[:, 1:] += side[:, :-1]
  rows[:, :-1] += side[:, 1:]
  smooth = rows * np.uint8(8)
  side = rows * np.uint8(3)
  smooth[1:] += side[:-1]
  smooth[:-1] += side[1:]
  opacity = np.minimum(1.0, 1.35 * np.arange(256) / 196) * (255 * alpha)
  return opacity.round().astype(np.uint8)[smooth]


def _size(array: np.ndarray) -> str:
  return f"{array.shape[1]}x{array.shape[0]}"
