"""J and F of all objects of label maps at once."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Integer, UInt64

from vosjax.metrics import bits, boundary


class Scores(NamedTuple):
  """J and F per object and frame, or per proposal, object and frame.

  Attributes:
    region: J.
    contour: F.
  """

  region: Float[np.ndarray, "*o t"]
  contour: Float[np.ndarray, "*o t"]

  @classmethod
  def stack(cls, frames: Sequence["Scores"]) -> "Scores":
    """Concatenates scores along time."""
    return cls(*(np.concatenate(part, axis=-1) for part in zip(*frames)))


def score_labels(
  prediction: Integer[np.ndarray, "t h w"],
  truth: Integer[np.ndarray, "t h w"],
  ids: Sequence[int],
  void: Bool[np.ndarray, "t h w"] | None = None,
  *,
  tolerance: float | int = 0.008,
) -> Scores:
  """J and F of objects that have the same id in the prediction and in the truth.

  Args:
    prediction: predicted object ids.
    truth: annotated object ids; no id is special.
    ids: ids of the objects to score.
    void: ignored pixels.
    tolerance: see `contour_accuracy`.

  Returns:
    Scores [o t], objects in the order of `ids`.
  """
  radius = boundary.matching_radius(truth.shape[1:], tolerance)
  region, contour = np.ones((2, len(ids), len(truth)))
  masks = np.empty((2, *truth.shape[1:]), bool)  # reused: allocation costs most
  for t, (predicted, annotated) in enumerate(zip(prediction, truth)):
    for o, i in enumerate(ids):
      np.equal(predicted, i, out=masks[0])
      np.equal(annotated, i, out=masks[1])
      if void is not None:
        masks &= ~void[t]
      pair, width = bits.crop(bits.pack(masks), truth.shape[2], margin=radius)
      region[o, t] = _pair_j(pair)
      contour[o, t] = boundary.f_from_boundaries(bits.boundaries(pair, width), radius)
  return Scores(region, contour)


def score_proposals(
  prediction: Integer[np.ndarray, "t h w"],
  truth: Integer[np.ndarray, "t h w"],
  num_proposals: int,
  num_objects: int,
  void: Bool[np.ndarray, "t h w"] | None = None,
  *,
  tolerance: float | int = 0.008,
) -> Scores:
  """J and F of every proposal against every object.

  Boundaries and their dilations are computed once per mask, not once per pair.

  Args:
    prediction: proposal ids, 1 to `num_proposals`.
    truth: object ids, 1 to `num_objects`.
    num_proposals: number of proposals; those that do not occur are empty masks.
    num_objects: number of objects, likewise.
    void: ignored pixels.
    tolerance: see `contour_accuracy`.

  Returns:
    Scores [m o t] of proposal, object and frame.
  """
  radius = boundary.matching_radius(truth.shape[1:], tolerance)
  split = num_proposals
  frames = []
  masks = np.empty((num_proposals + num_objects, *truth.shape[1:]), bool)
  for t, (predicted, annotated) in enumerate(zip(prediction, truth)):
    for labels, selected in ((predicted, masks[:split]), (annotated, masks[split:])):
      for i, mask in enumerate(selected, 1):
        np.equal(labels, i, out=mask)
    if void is not None:
      masks &= ~void[t]
    packed, width = bits.crop(bits.pack(masks), truth.shape[2], margin=radius)
    areas = bits.count(packed)
    intersection = _intersections(packed[:split], packed[split:])
    union = areas[:split, None] + areas[None, split:] - intersection
    region = np.where(union > 0, intersection / np.maximum(union, 1), 1.0)
    edges = bits.boundaries(packed, width)
    lengths = bits.count(edges)
    near = np.zeros_like(edges)
    for m in np.flatnonzero(lengths):  # one by one, to stay in cache
      near[m] = bits.dilate(edges[m : m + 1], radius)[0]
    contour = _pairwise_f(
      lengths[:split, None],
      lengths[None, split:],
      _intersections(edges[:split], near[split:]),
      _intersections(near[:split], edges[split:]),
    )
    frames.append(Scores(region[..., None], contour[..., None]))
  return Scores.stack(frames)


def _pair_j(pair: bits.Packed) -> float:
  intersection = int(bits.count(pair[:1] & pair[1:])[0])
  union = int(bits.count(pair).sum()) - intersection
  return intersection / union if union else 1.0


def _intersections(
  left: UInt64[np.ndarray, "m h words"], right: UInt64[np.ndarray, "o h words"]
) -> Integer[np.ndarray, "m o"]:
  """Number of pixels that each mask on the left shares with each one on the right."""
  return np.stack([bits.count(left & mask) for mask in right], axis=1)


def _pairwise_f(
  predicted: Integer[np.ndarray, "m 1"],
  annotated: Integer[np.ndarray, "1 o"],
  predicted_matched: Integer[np.ndarray, "m o"],
  annotated_matched: Integer[np.ndarray, "m o"],
) -> Float[np.ndarray, "m o"]:
  """`boundary.f_from_counts` for all pairs."""
  counts = np.broadcast_arrays(
    predicted, annotated, predicted_matched, annotated_matched
  )
  f = [
    boundary.f_from_counts(*pair)
    for pair in np.stack(counts, axis=-1).reshape(-1, 4).tolist()
  ]
  return np.array(f).reshape(predicted_matched.shape)
