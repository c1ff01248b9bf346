"""Label maps of overlapping objects, and which slots are present."""

import jax.numpy as jnp
import numpy as np
import pytest

from vosjax.inference import painting
from vosjax.models.api import Readout
from vosjax.types import Prediction

# Three slots on four pixels; every pair overlaps somewhere.
MASKS = np.array([[1, 1, 0, 0], [0, 1, 1, 0], [1, 0, 1, 0]], bool)[None, :, None]
ALL = np.ones((1, 3), bool)


def paint(present, rank=None):
  rank = None if rank is None else jnp.asarray([rank], jnp.int32)
  labels = painting.paint(jnp.asarray(MASKS), jnp.asarray([present], bool), rank)
  return np.asarray(labels)[0, 0].tolist()


def test_the_first_slot_wins_overlaps():
  assert paint([1, 1, 1]) == [1, 1, 2, 0]


@pytest.mark.parametrize(
  ("rank", "expected"),
  [([0, 1, 2], [3, 2, 3, 0]), ([2, 0, 1], [1, 1, 3, 0]), ([0, 2, 1], [3, 2, 2, 0])],
)
def test_the_highest_rank_wins_overlaps(rank, expected):
  assert paint([1, 1, 1], rank) == expected


def test_absent_slots_are_not_painted():
  assert paint([0, 1, 1]) == [3, 2, 2, 0]
  assert paint([0, 1, 0], [2, 0, 1]) == [0, 2, 2, 0]
  assert paint([0, 0, 0]) == [0, 0, 0, 0]


def find(masks=MASKS, scores=None, active=ALL, **rule):
  aux = {} if scores is None else {"stop": jnp.asarray([scores], jnp.float32)}
  readout = Readout(False, 3, 0.5, None if scores is None else "stop", **rule)
  prediction = Prediction(jnp.zeros(masks.shape), aux)
  found = painting.find_objects(
    readout, prediction, jnp.asarray(masks), jnp.asarray(active)
  )
  return np.asarray(found)[0].tolist()


def test_without_scores_every_active_slot_is_present():
  assert find() == [True, True, True]
  assert find(active=np.array([[True, False, True]])) == [True, False, True]


def test_a_low_score_ends_the_list_or_skips_one_object():
  assert find(scores=[1, -0.1, 2]) == [True, False, True]
  assert find(scores=[1, -0.1, 2], stops_at_first_empty=True) == [True, False, False]
  assert find(scores=[0, 0, -1], stops_at_first_empty=True) == [True, True, False]
  assert find(scores=[-1, 1, 1], stops_at_first_empty=True) == [False, False, False]


def test_small_objects_are_dropped_without_ending_the_list():
  masks = MASKS.copy()
  masks[:, 1] = False
  masks[:, 1, 0, 0] = True  # one pixel of four
  stops = {"stops_at_first_empty": True}
  assert find(masks, [1, 1, 1], **stops, min_share=0.25) == [True, True, True]
  assert find(masks, [1, 1, 1], **stops, min_share=0.26) == [True, False, True]


def arrivals(*shares):
  """Predictions and labels of objects with ten pixels, of which `shares` are found."""
  labels = np.repeat(np.arange(1, len(shares) + 1), 10)[None].astype(np.int32)
  predicted = {
    i: (labels == i) & (np.arange(labels.size) % 10 < share)
    for i, share in enumerate(shares, 1)
  }
  return predicted, labels


def test_the_object_that_fits_its_mask_best_wins():
  ranking = painting.Ranking()
  ranking.add(*arrivals(3, 9, 5))
  assert ranking.rank_slots({1: 0, 2: 1, 3: 2}, 4).tolist() == [[0, 2, 1, 0]]
  assert ranking.rank_slots({1: 3, 3: 0}, 4).tolist() == [[1, 0, 0, 0]]


def test_older_objects_win_and_lower_slots_win_ties():
  ranking = painting.Ranking()
  ranking.add(*arrivals(2, 2))
  predicted, labels = arrivals(0, 0, 10)
  ranking.add({3: predicted[3]}, labels)
  assert ranking.rank_slots({1: 0, 2: 1, 3: 2}, 3).tolist() == [[2, 1, 0]]
  assert ranking.rank_slots({1: 0, 9: 1, 3: 2}, 3).tolist() == [
    [2, 0, 1]
  ]  # 9: not predicted yet


def test_two_empty_masks_agree():
  ranking = painting.Ranking()
  nothing = np.zeros((1, 20), bool)
  predicted, labels = arrivals(9, 0)
  ranking.add({1: predicted[1], 7: nothing}, labels)
  assert ranking.rank_slots({1: 0, 7: 1}, 2).tolist() == [[0, 1]]
