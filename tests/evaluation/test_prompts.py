"""Each object is given once, in the first frame that shows it."""

import numpy as np
import pytest

from vosjax.evaluation.prompts import object_prompts


class Annotations:
  """Labels of one row per frame; None for a frame without annotation."""

  name = "v"

  def __init__(self, *rows):
    self.rows = [None if row is None else np.array([row], np.uint8) for row in rows]
    self.read = []

  def __len__(self):
    return len(self.rows)

  def labels(self, index):
    self.read.append(index)
    return self.rows[index]


ANNOTATIONS = (
  None,
  [0, 255, 0],
  [0, 255, 2],
  [1, 2, 2],
  None,
  [1, 3, 2],
  [0, 0, 0],
  [1, 1, 1],
)


@pytest.mark.parametrize(
  ("late", "expected"),
  [
    (True, [None, None, [0, 0, 2], [1, 0, 0], None, [0, 3, 0], None, None]),
    (False, [None, None, [0, 0, 2], None, None, None, None, None]),
  ],
)
def test_each_object_is_given_once(late, expected):
  prompts = object_prompts(Annotations(*ANNOTATIONS), late=late)
  assert [p if p is None else p[0].tolist() for p in prompts] == expected


def test_later_annotations_are_read_when_their_turn_comes():
  annotations = Annotations(*ANNOTATIONS)
  prompts = object_prompts(annotations, late=True)
  assert annotations.read == [0, 1, 2]
  for _ in range(4):
    next(prompts)
  assert annotations.read == [0, 1, 2, 3]
  first_only = Annotations(*ANNOTATIONS)
  list(object_prompts(first_only))
  assert first_only.read == [0, 1, 2]


@pytest.mark.parametrize("late", [True, False])
def test_a_video_without_objects_is_refused_at_once(late):
  with pytest.raises(ValueError, match="v: no mask shows an object.*from 1 to 254"):
    object_prompts(Annotations(None, [0, 255, 0]), late=late)
