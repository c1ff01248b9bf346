"""Instances of single pictures: best Dice and how many there are."""

import numpy as np
from jaxtyping import Float, Integer

Labels = Integer[np.ndarray, "_h _w"]


def symmetric_best_dice(prediction: Labels, truth: Labels) -> float:
  """Symmetric best Dice SBD: how well instances fit whatever their numbers are.

  The mean over instances of the Dice with the best fitting one of the other side, the
  smaller of both directions.

  Args:
    prediction: instance ids, 0 = background.
    truth: likewise.

  Returns:
    SBD in [0, 1]; 1.0 when neither side has an instance, 0.0 when one has.

  Source: Scharr et al., "Leaf segmentation in plant phenotyping: a collation study",
  Machine Vision and Applications 2016.
  """
  dice = _dice(prediction, truth)
  if not dice.size:
    return float(dice.shape == (0, 0))
  return float(min(dice.max(0).mean(), dice.max(1).mean()))


def count_difference(prediction: Labels, truth: Labels) -> int:
  """|DiC|: by how many the number of instances is off; 0 = background."""
  return abs(len(_ids(prediction)) - len(_ids(truth)))


def _dice(prediction: Labels, truth: Labels) -> Float[np.ndarray, "m o"]:
  """Of every instance of the prediction with every one of the truth."""
  if prediction.shape != truth.shape:
    raise ValueError(
      f"prediction is {prediction.shape} and truth is {truth.shape} (rows, columns): "
      "resize the prediction (nearest neighbour) to the size of the truth."
    )
  masks = [
    (labels.ravel() == _ids(labels)[:, None]).astype(np.float64)
    for labels in (prediction, truth)
  ]
  common = masks[0] @ masks[1].T
  areas = masks[0].sum(1)[:, None] + masks[1].sum(1)
  return 2 * common / np.maximum(areas, 1)


def _ids(labels: Labels) -> Integer[np.ndarray, " n"]:
  ids = np.unique(labels)
  return ids[ids > 0]
