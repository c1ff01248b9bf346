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

  An outline pixel is matched when the other outline passes within the tolerance
  of it; precision is the matched part of the predicted outline, recall that of
  the annotated one, F their harmonic mean. Matching is not one to one.

  Args:
    prediction: predicted mask of one object in one frame.
    truth: annotated mask.
    void: pixels set to background in both masks; none by default. The rim of
      void cuts objects, and the cuts are outlines, of both masks alike.
    tolerance: matching distance as a fraction of the image diagonal; from 1 on
      whole pixels.

  Returns:
    F in [0, 1]; 1.0 when neither mask has an outline (both empty or full), 0.0
    when exactly one has.

  Raises:
    ValueError: the masks differ in size, or the tolerance means no distance.

  Source: Perazzi et al., CVPR 2016 (measure F); equals the 2017 toolkit bit for bit.
  """
  prediction, truth = check_masks(prediction, truth, void)
  radius = matching_radius(truth.shape, tolerance)
  pair, width = bits.crop(bits.pack([prediction, truth]), truth.shape[1], margin=radius)
  return edges_f(bits.boundaries(pair, width), radius)


def boundary_map(mask: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
  """Pixels that differ from their right, lower or lower-right neighbour."""
  width = mask.shape[1]
  return bits.unpack(bits.boundaries(bits.pack([mask]), width), width)[0]


def matching_radius(shape: tuple[int, ...], tolerance: float | int = 0.008) -> int:
  """Matching distance in pixels for images of a shape (h, w)."""
  if tolerance <= 0 or (tolerance > 1 and tolerance % 1):
    raise ValueError(
      f"tolerance is {tolerance}; give a fraction of the image diagonal above 0 "
      "and below 1, or whole pixels."
    )
  if tolerance >= 1:
    return int(tolerance)
  return math.ceil(tolerance * float(np.linalg.norm(shape)))


def edges_f(edges: bits.Packed, radius: int) -> float:
  """F of two packed outlines (prediction, truth) with a margin of `radius`."""
  predicted, annotated = (int(n) for n in bits.count(edges))
  if not (predicted and annotated):
    return f_from_counts(predicted, annotated, 0, 0)
  matched = bits.count(edges & bits.dilate(edges, radius)[::-1])
  return f_from_counts(predicted, annotated, int(matched[0]), int(matched[1]))


def f_from_counts(
  predicted: int, annotated: int, predicted_matched: int, annotated_matched: int
) -> float:
  """F from the numbers of outline pixels and of those that are matched."""
  if not (predicted and annotated):
    return 1.0 if predicted == annotated else 0.0
  precision = predicted_matched / predicted
  recall = annotated_matched / annotated
  if not precision + recall:
    return 0.0
  return 2 * precision * recall / (precision + recall)
