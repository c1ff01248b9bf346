"""Best Dice and count difference, on images small enough to check by hand."""

import numpy as np
import pytest

from vosjax.metrics import count_difference, symmetric_best_dice


def image(*rows):
  return np.array([[int(c) for c in row] for row in rows])


TRUTH = image("1122", "1122", "0000")


@pytest.mark.parametrize(
  ("prediction", "dice", "count"),
  [
    (image("2211", "2211", "0000"), 1.0, 0),  # ids do not matter
    (image("1100", "1100", "0000"), 0.5, 1),  # BD(truth, prediction) = (1 + 0) / 2
    (image("1111", "1111", "0000"), 2 / 3, 1),  # both objects merged: 2 * 4 / (8 + 4)
    (image("1133", "1122", "4000"), (1 + 2 / 3 + 2 / 3 + 0) / 4, 2),
    (np.zeros((3, 4), int), 0.0, 2),
  ],
)
def test_values_equal_those_found_by_hand(prediction, dice, count):
  assert symmetric_best_dice(prediction, TRUTH) == pytest.approx(dice)
  assert count_difference(prediction, TRUTH) == count


def test_best_dice_is_symmetric():
  rng = np.random.default_rng(0)
  a, b = rng.integers(0, 4, (2, 6, 7))
  assert symmetric_best_dice(a, b) == symmetric_best_dice(b, a)


def test_without_instances_the_score_is_one_and_without_predictions_zero():
  empty = np.zeros((2, 2), int)
  assert symmetric_best_dice(empty, empty) == 1
  assert count_difference(empty, empty) == 0
  assert symmetric_best_dice(np.ones((2, 2), int), empty) == 0


def test_images_of_different_sizes_are_refused():
  with pytest.raises(ValueError, match="nearest"):
    symmetric_best_dice(TRUTH, TRUTH.T)
