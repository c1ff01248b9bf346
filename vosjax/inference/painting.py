"""Label maps of objects that are judged each by itself, and who wins an overlap."""

from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int

from vosjax.models.api import Readout
from vosjax.types import Active, Prediction


def find_objects(
  readout: Readout,
  prediction: Prediction,
  masks: Bool[Array, "b o h w"],
  active: Active,
) -> Bool[Array, "b o"]:
  """Which slots hold an object, by score and size; the mask of the others is dropped.

  Args:
    readout: of the model.
    prediction: of the frame.
    masks: pixels of each slot, at the size of the frame.
    active: slots that may count.
  """
  present = active
  if readout.score is not None:
    scored = prediction.aux[readout.score] >= 0
    if readout.ends:
      scored = jnp.cumprod(scored, axis=1, dtype=jnp.int32) > 0
    present &= scored
  if readout.min_share > 0:
    present &= masks.mean((2, 3)) >= readout.min_share
  return present


def paint(
  masks: Bool[Array, "b o h w"],
  present: Bool[Array, "b o"],
  rank: Int[Array, "b o"] | None = None,
) -> Int[Array, "b h w"]:
  """Label map of slots: 0 = none, i = slot i - 1.

  Args:
    masks: pixels of each slot.
    present: slots that are painted.
    rank: the highest wins an overlap; None: the first slot does.
  """
  masks &= present[:, :, None, None]
  if rank is None:
    winner = masks.argmax(1)
  else:
    winner = jnp.where(masks, rank[:, :, None, None], -1).argmax(1)
  return jnp.where(masks.any(1), winner + 1, 0)


class Ranking:
  """Who wins overlaps among given objects, as the program of RVOS decides.

  Objects that are older win; of those that came together, the one whose prediction
  in its first frame met its mask best. The official program also renames objects
  if another prediction meets a mask better; here an object keeps its slot.

  Source: Ventura et al., CVPR 2019, assembly of the submitted label maps.
  """

  def __init__(self):
    self._key_of: dict[int, tuple[int, float]] = {}
    self._arrivals = 0

  def add(
    self,
    predicted: Mapping[int, Bool[np.ndarray, "h w"]],
    given: Int[np.ndarray, "h w"],
  ) -> None:
    """Takes objects that arrive together.

    Args:
      predicted: pixels of each in its first frame.
      given: their labels there.
    """
    self._arrivals += 1
    for object_id, pixels in predicted.items():
      overlap = _jaccard(pixels, given == object_id)
      self._key_of[object_id] = -self._arrivals, overlap

  def of(self, slot_of: Mapping[int, int], capacity: int) -> Int[np.ndarray, "1 o"]:
    """Rank of each slot, from the slots of ids."""
    last = -self._arrivals - 1, 0.0  # objects that nothing was predicted of yet
    order = sorted(slot_of, key=lambda i: (*self._key_of.get(i, last), -slot_of[i]))
    rank = np.zeros((1, capacity), np.int32)
    for place, object_id in enumerate(order):
      rank[0, slot_of[object_id]] = place
    return rank


def _jaccard(a, b):
  union = np.count_nonzero(a | b)
  return np.count_nonzero(a & b) / union if union else 1.0
