"""Objects are given once, in the frame in which each is first annotated."""

import numpy as np
import pytest

from vosjax.data.video import Video
from vosjax.evaluation.prompts import given_labels


class Labelled(Video):
  """Annotations alone, of one row; None is a frame without."""

  name, frame_names = "v", ()

  def __init__(self, *rows):
    self.rows = [None if row is None else np.array([row], np.uint8) for row in rows]

  def __len__(self):
    return len(self.rows)

  def frame(self, index):
    raise AssertionError("frames are not needed")

  def labels(self, index):
    return self.rows[index]


def given(*rows, late):
  found = given_labels(Labelled(*rows), late=late)
  return [None if labels is None else labels[0].tolist() for labels in found]


ROWS = (
  None,
  [0, 255, 0],
  [0, 255, 2],
  [1, 2, 2],
  None,
  [1, 3, 2],
  [0, 0, 0],
  [1, 1, 1],
)


def test_late_objects_come_alone_and_never_twice():
  assert given(*ROWS, late=True) == [
    None,
    None,
    [0, 255, 2],
    [1, 0, 0],
    None,
    [0, 3, 0],
    None,
    None,
  ]


def test_otherwise_the_first_frame_with_objects_is_all():
  assert given(*ROWS, late=False) == [
    None,
    None,
    [0, 255, 2],
    None,
    None,
    None,
    None,
    None,
  ]


@pytest.mark.parametrize("late", [True, False])
def test_without_any_object_nothing_is_given(late):
  found = given_labels(Labelled(None, [0, 255, 0]), late=late)
  with pytest.raises(ValueError, match="v: no annotation shows an object.*1 to 254"):
    next(found)
