"""Labels drawn over frames."""

import numpy as np
from jaxtyping import Bool, Float, Integer, UInt8
from PIL import Image, ImageFilter

from vosjax.labels import VOID
from vosjax.viz.palette import bright_palette

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
  colors = bright_palette().astype(np.float32)[labels]
  strength = np.select([labels == 0, labels == VOID], [0, alpha / 2], alpha)
  image = _mix(frame.astype(np.float32), colors, strength)
  if contours:
    objects = np.where(labels == VOID, 0, labels)
    border = _borders(objects, width=max(1, round(min(labels.shape) / 240)))
    shade = _soften(border & (objects == 0)) * HALO_ALPHA
    line = _soften(border & (objects > 0)) * (objects > 0)
    image = _mix(image, np.zeros(3, np.float32), shade)
    image = _mix(image, colors + 0.25 * (255 - colors), line)
  return image.round().astype(np.uint8)


def _borders(labels: UInt8[np.ndarray, "h w"], width: int) -> Bool[np.ndarray, "h w"]:
  """Pixels within `width` of a change of label, on both sides of it."""
  border = np.zeros(labels.shape, bool)
  down = labels[1:] != labels[:-1]
  right = labels[:, 1:] != labels[:, :-1]
  border[1:] |= down
  border[:-1] |= down
  border[:, 1:] |= right
  border[:, :-1] |= right
  if width > 1:
    grown = Image.fromarray(border.astype(np.uint8) * 255)
    border = np.asarray(grown.filter(ImageFilter.MaxFilter(2 * width - 1))) > 0
  return border


def _soften(mask: Bool[np.ndarray, "h w"]) -> Float[np.ndarray, "h w"]:
  """The mask as opacity in [0, 1], with smooth edges."""
  image = Image.fromarray(mask.astype(np.uint8) * 255)
  smooth = np.asarray(image.filter(ImageFilter.GaussianBlur(0.7)), np.float32) / 255
  return np.minimum(1.0, 1.35 * smooth)


def _mix(
  below: Float[np.ndarray, "h w 3"],
  above: Float[np.ndarray, "..."],
  opacity: Float[np.ndarray, "h w"],
) -> Float[np.ndarray, "h w 3"]:
  """Alpha blending; `above` is one colour per pixel, or one for all."""
  opacity = opacity[..., None].astype(np.float32)
  return below + opacity * (above - below)


def _size(array: np.ndarray) -> str:
  return f"{array.shape[1]}x{array.shape[0]}"
