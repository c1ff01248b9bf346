"""Turns a rectangle around an object into its mask, by GrabCut."""

from typing import Any

import numpy as np
from jaxtyping import Bool, UInt8

_LONG_SIDE = 480  # of what GrabCut sees, to answer while the user waits
_MARGIN = 0.35  # of background around the rectangle, in parts of its size
_ITERATIONS = 5
_SMALLEST = 4  # pixels


def fill_box(
  image: UInt8[np.ndarray, "h w 3"], box: tuple[int, int, int, int]
) -> Bool[np.ndarray, "h w"]:
  """The mask of the object in a rectangle.

  Args:
    image: RGB.
    box: left, top, right, bottom in pixels, right and bottom exclusive; what lies
      outside of the image is cut off.

  Returns:
    The object's mask. The whole rectangle if nothing in it stands out.

  Raises:
    ValueError: the rectangle is too small, or outside of the image.

  Source: Rother et al., GrabCut, SIGGRAPH 2004, as OpenCV has it.
  """
  height, width, _ = image.shape
  left, top, right, bottom = box
  left, right = max(0, left), min(width, right)
  top, bottom = max(0, top), min(height, bottom)
  if right - left < _SMALLEST or bottom - top < _SMALLEST:
    raise ValueError(
      f"the rectangle {list(box)} covers less than {_SMALLEST} x {_SMALLEST} pixels of "
      "the frame. Draw a larger one."
    )
  x_margin = round(_MARGIN * (right - left)) + _SMALLEST
  y_margin = round(_MARGIN * (bottom - top)) + _SMALLEST
  x0, x1 = max(0, left - x_margin), min(width, right + x_margin)
  y0, y1 = max(0, top - y_margin), min(height, bottom + y_margin)
  inside = (left - x0, top - y0, right - x0, bottom - y0)
  mask = np.zeros((height, width), bool)
  mask[y0:y1, x0:x1] = _grab_cut(image[y0:y1, x0:x1], inside)
  if not mask.any():
    mask[top:bottom, left:right] = True
  return mask


def _grab_cut(
  image: UInt8[np.ndarray, "h w 3"], box: tuple[int, int, int, int]
) -> Bool[np.ndarray, "h w"]:
  cv2 = _load_opencv()
  height, width, _ = image.shape
  scale = min(1.0, _LONG_SIDE / max(height, width))
  size = max(8, round(width * scale)), max(8, round(height * scale))
  small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
  left, top, right, bottom = (
    int(round(value * side / full))
    for value, side, full in zip(box, (*size, *size), (width, height) * 2)
  )
  labels = np.full(small.shape[:2], cv2.GC_BGD, np.uint8)
  labels[top:bottom, left:right] = cv2.GC_PR_FGD
  if (labels == cv2.GC_BGD).any():
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.setRNGSeed(0)  # GrabCut begins with k-means; the same box gives the same mask
    cv2.grabCut(
      small[..., ::-1].copy(), labels, None, *models, _ITERATIONS, cv2.GC_INIT_WITH_MASK
    )
  found = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.float32)
  full = cv2.resize(found, (width, height), interpolation=cv2.INTER_LINEAR)
  return full > 0.5


def _load_opencv() -> Any:
  import cv2  # not at the top: it takes a tenth of a second, for one tool of the page

  return cv2
