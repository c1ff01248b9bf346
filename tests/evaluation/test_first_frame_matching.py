"""Instances are matched to objects in the first frame of each object."""

import numpy as np

from vosjax.evaluation.first_frame_matching import FirstFrameMatcher, match_first_frame
from vosjax.evaluation.scored_video import ScoredVideo


def halves(top, bottom):
  """A label map with one id in the upper and one in the lower half."""
  return np.repeat(np.array([top, bottom], np.uint8), 12).reshape(4, 6)


def test_instances_keep_the_object_of_their_first_frame():
  truth = np.stack([halves(1, 0), *[halves(1, 2)] * 3])  # object 2 appears in frame 1
  instances = np.stack([halves(0, 7), halves(7, 0), halves(7, 7)]) > 0  # they overlap
  annotated = [truth[0].copy(), truth[1], None, truth[3]]  # frame 2 is not annotated
  annotated[0][-1] = 255  # void is not an object
  matcher = FirstFrameMatcher()
  for labels, expected in zip(annotated, truth):
    np.testing.assert_array_equal(matcher.step(instances, labels), expected)


def test_in_overlaps_the_instance_with_the_better_first_frame_wins():
  matcher = FirstFrameMatcher()
  first = np.stack([halves(1, 0), halves(1, 1), halves(0, 1)]) > 0
  first[2, -1] = False  # the match of object 2 is not perfect
  matcher.step(first, halves(1, 2))
  everywhere = np.ones_like(first)
  np.testing.assert_array_equal(matcher.step(everywhere, None), halves(1, 1))


def test_an_object_without_an_instance_has_its_first_frame_only():
  matcher = FirstFrameMatcher()
  instances = np.stack([halves(1, 0)]) > 0
  np.testing.assert_array_equal(matcher.step(instances, halves(1, 2)), halves(1, 2))
  np.testing.assert_array_equal(matcher.step(instances, halves(1, 3)), halves(1, 3))
  np.testing.assert_array_equal(matcher.step(instances, halves(1, 2)), halves(1, 0))


def test_predicted_ids_become_object_ids():
  truth = np.stack([halves(1, 0), halves(1, 2)])
  predicted = np.stack([halves(2, 1), halves(2, 1)])
  matched = match_first_frame(ScoredVideo("v", predicted, truth))
  np.testing.assert_array_equal(matched.prediction, truth)
