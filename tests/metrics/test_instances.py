"""Best Dice and counts, on pictures whose values can be worked out by hand."""

import numpy as np
import pytest

from vosjax.metrics import count_difference, symmetric_best_dice


def picture(*rows):
  return np.array([[int(c) for c in row] for row in rows])


TRUTH = picture("1122", "1122", "0000")


@pytest.mark.parametrize(
  ("prediction", "dice", "count"),
  [
    (picture("2211", "2211", "0000"), 1.0, 0),  # ids mean nothing
    (picture("1100", "1100", "0000"), 0.5, 1),  # (1 + 0) / 2 from the truth's side
    (picture("1111", "1111", "0000"), 2 / 3, 1),  # both merged: 2 * 4 / (8 + 4)
    (picture("1133", "1122", "4000"), (1 + 2 / 3 + 2 / 3 + 0) / 4, 2),
    (np.zeros((3, 4), int), 0.0, 2),
  ],
)
def test_values(prediction, dice, count):
  assert symmetric_best_dice(prediction, TRUTH) == pytest.approx(dice)
  assert count_difference(prediction, TRUTH) == count


def test_it_is_symmetric():
  rng = np.random.default_rng(0)
  a, b = rng.integers(0, 4, (2, 6, 7))
  assert symmetric_best_dice(a, b) == symmetric_best_dice(b, a)


def test_nothing_found_where_nothing_is_is_right():
  nothing = np.zeros((2, 2), int)
  assert symmetric_best_dice(nothing, nothing) == 1
  assert count_difference(nothing, nothing) == 0
  assert symmetric_best_dice(np.ones((2, 2), int), nothing) == 0


def test_sizes_must_agree():
  with pytest.raises(ValueError, match="nearest"):
    symmetric_best_dice(TRUTH, TRUTH.T)
