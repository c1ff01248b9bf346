"""Scores of label maps equal the scores of their objects one by one."""

import numpy as np
import pytest

from vosjax import metrics


@pytest.fixture
def clip(golden):
  case = golden("metrics/inputs_blob-three.npz")
  return {name: volume[:4] for name, volume in case.items()}


@pytest.mark.parametrize("with_void", [False, True])
def test_objects_get_the_scores_of_their_masks(clip, with_void):
  truth, prediction = clip["gtvoid"], clip["pert"]
  void = truth == 255 if with_void else None
  ids = [3, 1, 200]  # in any order; 200 does not occur
  scores = metrics.score_labels(prediction, truth, ids, void)
  assert scores.region.shape == scores.contour.shape == (3, 4)
  for o, i in enumerate(ids):
    for t in range(4):
      hidden = None if void is None else void[t]
      pair = prediction[t] == i, truth[t] == i
      assert scores.region[o, t] == metrics.region_similarity(*pair, hidden)
      assert scores.contour[o, t] == metrics.contour_accuracy(*pair, hidden)


@pytest.mark.parametrize("with_void", [False, True])
def test_proposals_get_the_scores_of_pairs_of_masks(clip, with_void):
  truth, proposals = clip["gt"], clip["rvos"]
  void = clip["gtvoid"] == 255 if with_void else None
  scores = metrics.score_proposals(proposals, truth, 7, 3, void)
  for m, o, t in np.ndindex(7, 3, 4):
    hidden = None if void is None else void[t]
    pair = proposals[t] == m + 1, truth[t] == o + 1
    assert scores.region[m, o, t] == metrics.region_similarity(*pair, hidden)
    assert scores.contour[m, o, t] == metrics.contour_accuracy(*pair, hidden)


def test_matching_maximises_the_total_not_the_first_choice():
  scores = np.array([[0.9, 0.8], [0.8, 0.1], [0.0, 0.0]])
  proposals, objects = metrics.match_proposals(scores)
  assert proposals.tolist() == [0, 1]
  assert objects.tolist() == [1, 0]


def test_pairwise_region_equals_j_of_each_pair():
  rng = np.random.default_rng(0)
  masks = rng.random((5, 6, 7)) < 0.5
  masks[[1, 4]] = False  # J of two empty masks is 1
  region = metrics.pairwise_region(masks[:3], masks[3:])
  for m, o in np.ndindex(3, 2):
    assert region[m, o] == metrics.region_similarity(masks[m], masks[3 + o])
