"""Contour accuracy F."""

import math

import numpy as np
from jaxtyping import Bool

from vosjax.metrics import bits
from vosjax.metrics.region import Mask, check_masks


def contour_accuracy(
  prediction: Mask,
  truth: Mask,
  void: Mask | None = None,
  *,
  tolerance: float | int = 0.008,
) -> float:
  """Contour accuracy F: how well two mask outlines agree.

  A boundary pixel is matched if a boundary pixel of the other mask is within the
  tolerance. Precision P is the matched fraction of the predicted boundary, recall R
  that of the annotated one, and F = 2 P R / (P + R). One pixel may match several.

  Args:
    prediction: predicted mask of one object in one frame.
    truth: annotated mask.
    void: pixels that are set to background in both masks; none by default. Where
      void cuts an object, the cut is a boundary in both masks.
    tolerance: matching distance, below 1 as a fraction of the image diagonal, from 1
      on in whole pixels.

  Returns:
    F in [0, 1]; 1.0 if neither mask has a boundary (each is empty or full), 0.0 if
    exactly one has.

  Raises:
    ValueError: the masks differ in size, or the tolerance is not a distance.

  Source: Perazzi et al., CVPR 2016 (measure F); equals the 2017 toolkit bit for bit.
  """
  prediction, truth = check_masks(prediction, truth, void)
  radius = matching_radius(truth.shape, tolerance)
  pair, width = bits.crop(bits.pack([prediction, truth]), truth.shape[1], margin=radius)
  return f_from_boundaries(bits.boundaries(pair, width), radius)


def boundary_map(mask: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
  """Boundary pixels: those that differ from their right, lower or lower-right one."""
  width = mask.shape[1]
  return bits.unpack(bits.boundaries(bits.pack([mask]), width), width)[0]


def matching_radius(shape: tuple[int, ...], tolerance: float | int = 0.008) -> int:
  """The tolerance of `contour_accuracy` in pixels, for images of a shape (h, w).

  Raises:
    ValueError: the tolerance is not a distance.
  """
  if tolerance <= 0 or (tolerance > 1 and tolerance % 1):
    raise ValueError(
      f"tolerance is {tolerance}; give a fraction of the image diagonal above 0 "
      "and below 1, or whole pixels."
    )
  if tolerance >= 1:
    return int(tolerance)
  return math.ceil(tolerance * float(np.linalg.norm(shape)))


def f_from_boundaries(boundaries: bits.Packed, radius: int) -> float:
  """F of two packed boundaries (prediction, truth) with a margin of `radius` bits."""
  predicted, annotated = (int(n) for n in bits.count(boundaries))
  if not (predicted and annotated):
    return f_from_counts(predicted, annotated, 0, 0)
  matched = bits.count(boundaries & bits.dilate(boundaries, radius)[::-1])
  return f_from_counts(predicted, annotated, int(matched[0]), int(matched[1]))


def f_from_counts(
  predicted: int, annotated: int, predicted_matched: int, annotated_matched: int
) -> float:
  """F from the numbers of boundary pixels and of those that are matched."""
  if not (predicted and annotated):
    return 1.0 if predicted == annotated else 0.0
  precision = predicted_matched / predicted
  recall = annotated_matched / annotated
  if not precision + recall:
    return 0.0
  return 2 * precision * recall / (precision + recall)
