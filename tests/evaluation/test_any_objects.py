"""Objects of any ids are scored as the DAVIS toolkit and vos-benchmark score them."""

import numpy as np
import pytest

from vosjax.evaluation.any_objects import any_objects
from vosjax.evaluation.evaluate import evaluate
from vosjax.evaluation.object_ids import find_volume_ids
from vosjax.evaluation.protocols import davis2017
from vosjax.evaluation.scored_video import ScoredVideo

# J and F of vos-benchmark 0.1.0 on `example`, by id: without and with its
# skip_first_and_last.
VOS_BENCHMARK = {
  False: {7: (0.8, 0.8035714285714287), 200: (0.43392857142857144, 0.2793522267206478)},
  True: {7: (0.8, 0.8035714285714286), 200: (0.3857142857142858, 0.2483130904183536)},
}


def example():
  """Object 7 in all frames; 200 in the truth from frame 2 on, predicted from 3 on."""
  truth, prediction = np.zeros((2, 6, 40, 60), np.uint8)
  for t in range(6):
    truth[t, 5:15, 5 + t : 25 + t] = 7
    prediction[t, 5:15, 9 + t : 25 + t] = 7
    if t >= 2:
      truth[t, 24:34, 20:40] = 200
    if t >= 3:
      prediction[t, 25:36, 22:44] = 200
  prediction[4:, :3, :3] = 9  # an id that the truth lacks
  return ScoredVideo("clip", prediction, truth)


def scores(protocol, video):
  return {
    row.object_id: (row.j.mean, row.f.mean) for row in evaluate(protocol, [video]).rows
  }


@pytest.mark.parametrize("skip_ends", [False, True])
def test_from_appearance_equals_vos_benchmark(skip_ends):
  found = scores(any_objects(skip_ends=skip_ends, from_appearance=True), example())
  assert found.keys() == VOS_BENCHMARK[skip_ends].keys()
  for i, expected in VOS_BENCHMARK[skip_ends].items():
    np.testing.assert_allclose(found[i], expected, rtol=1e-9)


def test_objects_of_the_first_frame_are_scored_as_the_toolkit_does():
  truth, prediction = np.zeros((2, 5, 40, 60), np.uint8)
  truth[:, 5:15, 5:25], prediction[:, 6:15, 5:25] = 1, 1
  truth[[0, 3], 20:30, 5:25], prediction[3:, 22:30, 5:25] = 2, 2  # absent in between
  truth[2, :4] = 255
  video = ScoredVideo("clip", prediction, truth)
  assert scores(any_objects(skip_ends=True, label_255="background"), video) == scores(
    davis2017(), video
  )


def test_absent_objects_count_unless_from_their_appearance():
  whole = scores(any_objects(), example())[200][0]
  since = scores(any_objects(from_appearance=True), example())[200][0]
  assert whole == pytest.approx((2 + 4 * since) / 6)


def void_example():
  truth, prediction = np.zeros((2, 2, 20, 30), np.uint8)
  truth[:, 5:10, 5:15], truth[:, 5:10, 15:20] = 3, 255
  prediction[:, 5:10, 5:20] = 3
  return ScoredVideo("clip", prediction, truth)


@pytest.mark.parametrize(
  ("meaning", "expected"), [("void", 1), ("background", 2 / 3), ("object", 2 / 3)]
)
def test_255_means_what_is_said(meaning, expected):
  found = scores(any_objects(label_255=meaning), void_example())
  assert found[3][0] == pytest.approx(expected)
  assert (255 in found) == (meaning == "object")


def test_255_beside_other_ids_needs_a_meaning():
  (line,) = any_objects().problems(void_example())
  assert "clip: the truth holds 255 beside other ids. Say what it means: --lab" in line


def test_255_alone_is_the_object():
  truth = np.zeros((2, 20, 30), np.uint8)
  truth[:, 5:10, 5:15] = 255
  found = scores(any_objects(), ScoredVideo("clip", truth // 255, truth))
  assert found == {1: (1.0, 1.0)}


def test_unknown_missed_and_exchanged_ids_are_warned_of():
  protocol = any_objects()
  assert protocol.warn(example()) == [
    "predicted ids 9 are not in the truth and are ignored"
  ]
  video = example()
  exchanged = np.where(video.prediction == 7, 200, 0)
  exchanged[video.prediction == 200] = 7
  (line,) = protocol.warn(ScoredVideo("clip", exchanged.astype(np.uint8), video.truth))
  assert "seem to be exchanged: 200 shows object 7, 7 shows object 200" in line
  empty = ScoredVideo("clip", np.zeros_like(video.truth), video.truth)
  assert protocol.warn(empty) == [
    "no frame of the prediction has the truth's ids 7, 200"
  ]


def test_a_truth_without_objects_is_a_problem():
  empty = np.zeros((2, 4, 6), np.uint8)
  (line,) = any_objects().problems(ScoredVideo("clip", empty, empty))
  assert line == "clip: the truth shows no object in any frame."


def test_ids_are_found_whatever_their_size():
  labels = np.zeros((3, 4, 6), np.uint8)
  assert find_volume_ids(labels) == []
  labels[2, 0, 0], labels[0, 1, 1] = 5, 2
  assert find_volume_ids(labels) == [2, 5]
  labels[1, 1, 1] = 255
  assert find_volume_ids(labels) == [2, 5, 255]
  labels[:] = 40
  assert find_volume_ids(labels) == [40]


def test_davis_warns_of_objects_that_it_does_not_score():
  video = example()
  truth = np.where(video.truth == 7, 1, np.where(video.truth == 200, 2, 0))
  (line,) = davis2017().warn(ScoredVideo("clip", truth, truth))
  assert "objects up to id 2 appear after the first frame" in line
