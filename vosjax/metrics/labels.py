"""J and F of every object of label maps at once."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Integer, UInt64

from vosjax.metrics import bits, boundary


class Scores(NamedTuple):
  """J and F; objects first, time last.

  Attributes:
    region: J of each object (or proposal and object) in each frame.
    contour: F likewise.
  """

  region: Float[np.ndarray, "*o t"]
  contour: Float[np.ndarray, "*o t"]

  @classmethod
  def stack(cls, frames: Sequence["Scores"]) -> "Scores":
    """Joins the scores of single frames along time."""
    return cls(*(np.concatenate(part, axis=-1) for part in zip(*frames)))


def score_labels(
  prediction: Integer[np.ndarray, "t h w"],
  truth: Integer[np.ndarray, "t h w"],
  ids: Sequence[int],
  void: Bool[np.ndarray, "t h w"] | None = None,
  *,
  tolerance: float | int = 0.008,
) -> Scores:
  """J and F of objects that bear the same id in the prediction and in the truth.

  Args:
    prediction: predicted object ids.
    truth: annotated object ids; no id is special.
    ids: the objects to score.
    void: pixels that do not count.
    tolerance: see `contour_accuracy`.

  Returns:
    Scores `[o, t]`, objects in the order of `ids`.
  """
  radius = boundary.matching_radius(truth.shape[1:], tolerance)
  region, contour = np.ones((2, len(ids), len(truth)))
  masks = np.empty((2, *truth.shape[1:]), bool)  # new memory costs more than the work
  for t, (predicted, annotated) in enumerate(zip(prediction, truth)):
    for o, i in enumerate(ids):
      np.equal(predicted, i, out=masks[0])
      np.equal(annotated, i, out=masks[1])
      if void is not None:
        masks &= ~void[t]
      pair, width = bits.crop(bits.pack(masks), truth.shape[2], margin=radius)
      region[o, t] = _pair_j(pair)
      contour[o, t] = boundary.edges_f(bits.boundaries(pair, width), radius)
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

  Outlines and their dilations are computed once for each mask, not for each pair.

  Args:
    prediction: proposals by their ids, 1 to `num_proposals`.
    truth: objects by their ids, 1 to `num_objects`.
    num_proposals: how many proposals to compare; ids that are absent are empty.
    num_objects: how many objects to compare.
    void: pixels that do not count.
    tolerance: see `contour_accuracy`.

  Returns:
    Scores `[m, o, t]`: proposal, object, frame.
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
    common = _common(packed[:split], packed[split:])
    union = areas[:split, None] + areas[None, split:] - common
    edges = bits.boundaries(packed, width)
    counts = bits.count(edges)
    near = np.zeros_like(edges)
    for m in np.flatnonzero(counts):  # one by one, to stay in cache
      near[m] = bits.dilate(edges[m : m + 1], radius)[0]
    contour = _f(
      counts[:split, None],
      counts[None, split:],
      _common(edges[:split], near[split:]),
      _common(near[:split], edges[split:]),
    )
    region = np.where(union > 0, common / np.maximum(union, 1), 1.0)
    frames.append(Scores(region[..., None], contour[..., None]))
  return Scores.stack(frames)


def _pair_j(pair: bits.Packed) -> float:
  common = int(bits.count(pair[:1] & pair[1:])[0])
  union = int(bits.count(pair).sum()) - common
  return common / union if union else 1.0


def _common(
  left: UInt64[np.ndarray, "m h words"], right: UInt64[np.ndarray, "o h words"]
) -> Integer[np.ndarray, "m o"]:
  """Number of pixels that each mask on the left shares with each on the right."""
  return np.stack([bits.count(left & mask) for mask in right], axis=1)


def _f(
  predicted: Integer[np.ndarray, "m 1"],
  annotated: Integer[np.ndarray, "1 o"],
  predicted_matched: Integer[np.ndarray, "m o"],
  annotated_matched: Integer[np.ndarray, "m o"],
) -> Float[np.ndarray, "m o"]:
  """`boundary.f_from_counts` of all pairs."""
  counts = np.broadcast_arrays(
    predicted, annotated, predicted_matched, annotated_matched
  )
  f = [
    boundary.f_from_counts(*pair)
    for pair in np.stack(counts, axis=-1).reshape(-1, 4).tolist()
  ]
  return np.array(f).reshape(predicted_matched.shape)
