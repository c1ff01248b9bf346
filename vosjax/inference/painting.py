"""Label maps of objects that do not compete for pixels: which one wins an overlap."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int

from vosjax.models.api import Readout
from vosjax.types import Active, AnyArray, Prediction


def find_objects(
  readout: Readout,
  prediction: Prediction,
  masks: Bool[Array, "b o h w"],
  active: Active,
) -> Bool[Array, "b o"]:
  """Finds the slots that hold an object, by score and size.

  Args:
    readout: of the model.
    prediction: of the frame.
    masks: pixels of each slot, at the original size.
    active: slots that are in use.

  Returns:
    Which slots are present.
  """
  present = jnp.asarray(active)
  if readout.score is not None:
    scored = prediction.aux[readout.score] >= 0
    if readout.stops_at_first_empty:
      scored = jnp.cumprod(scored, axis=1, dtype=jnp.int32) > 0
    present &= scored
  if readout.min_share > 0:
    present &= masks.mean((2, 3)) >= readout.min_share
  return present


def paint(
  masks: Bool[Array, "b o h w"],
  present: Bool[Array, "b o"],
  rank: Int[AnyArray, "b o"] | None = None,
) -> Int[Array, "b h w"]:
  """Paints masks into a label map of slots: 0 is background, i is slot i - 1.

  Args:
    masks: pixels of each slot.
    present: slots to paint.
    rank: the slot with the highest rank wins an overlap; with None, the first slot.
  """
  masks &= present[:, :, None, None]
  if rank is None:
    winner = masks.argmax(1)
  else:
    winner = jnp.where(masks, rank[:, :, None, None], -1).argmax(1)
  return jnp.where(masks.any(1), winner + 1, 0)


class Ranking:
  """Ranks given objects by which one wins an overlap, as in the official RVOS code.

  Older objects win. Among those that appeared in the same frame, the one whose
  prediction in that frame fits its mask best wins. The official code also renames
  objects if another prediction fits a mask better; here, objects keep their slots.

  Source: the release of Ventura et al., CVPR 2019, which assembles the submitted
  label maps this way.
  """

  def __init__(self):
    self._key_of: dict[int, tuple[int, float]] = {}
    self._arrivals = 0

  def to_json(self) -> dict[str, Any]:
    """Everything as JSON can hold it."""
    keys = [[i, *key] for i, key in self._key_of.items()]
    return {"arrivals": self._arrivals, "keys": keys}

  @classmethod
  def from_json(cls, values: Mapping[str, Any]) -> "Ranking":
    """The inverse of `to_json`."""
    ranking = cls()
    ranking._arrivals = values["arrivals"]
    ranking._key_of = {i: (age, overlap) for i, age, overlap in values["keys"]}
    return ranking

  def add(
    self,
    predicted: Mapping[int, Bool[np.ndarray, "h w"]],
    labels: Int[np.ndarray, "h w"],
  ) -> None:
    """Ranks objects that appear in the same frame.

    Args:
      predicted: pixels of each object, as predicted in that frame.
      labels: the annotation of that frame.
    """
    self._arrivals += 1
    for object_id, pixels in predicted.items():
      overlap = _jaccard(pixels, labels == object_id)
      self._key_of[object_id] = -self._arrivals, overlap

  def rank_slots(
    self, slot_of: Mapping[int, int], capacity: int
  ) -> Int[np.ndarray, "1 o"]:
    """Rank of each slot, given the slot of each id; the highest rank wins."""
    last = -self._arrivals - 1, 0.0  # objects without any prediction yet
    order = sorted(slot_of, key=lambda i: (*self._key_of.get(i, last), -slot_of[i]))
    rank = np.zeros((1, capacity), np.int32)
    for position, object_id in enumerate(order):
      rank[0, slot_of[object_id]] = position
    return rank


def _jaccard(a: Bool[np.ndarray, "h w"], b: Bool[np.ndarray, "h w"]) -> float:
  """Intersection over union; 1 if both masks are empty."""
  union = np.count_nonzero(a | b)
  return np.count_nonzero(a & b) / union if union else 1.0
