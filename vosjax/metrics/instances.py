"""Metrics of instance segmentation in single images: best Dice and object count."""

import numpy as np
from jaxtyping import Float, Integer

InstanceMap = Integer[np.ndarray, "_h _w"]


def symmetric_best_dice(prediction: InstanceMap, truth: InstanceMap) -> float:
  """Symmetric best Dice (SBD), which does not depend on the numbering of instances.

  The best Dice BD(a, b) is the mean over the instances of `a` of the largest Dice
  2 |x & y| / (|x| + |y|) with an instance of `b`. SBD is the smaller one of
  BD(prediction, truth) and BD(truth, prediction).

  Args:
    prediction: predicted instance ids, 0 = background.
    truth: annotated instance ids, 0 = background.

  Returns:
    SBD in [0, 1]; 1.0 if neither side has an instance, 0.0 if only one has.

  Raises:
    ValueError: the images differ in size.

  Source: Scharr et al., "Leaf segmentation in plant phenotyping: a collation study",
  Machine Vision and Applications 2016.
  """
  dice = _dice(prediction, truth)
  if not dice.size:
    return float(dice.shape == (0, 0))
  return float(min(dice.max(0).mean(), dice.max(1).mean()))


def count_difference(prediction: InstanceMap, truth: InstanceMap) -> int:
  """Absolute difference in count, |DiC|: by how many the number of instances is off.

  Args:
    prediction: predicted instance ids, 0 = background.
    truth: annotated instance ids, 0 = background.
  """
  return abs(len(_ids(prediction)) - len(_ids(truth)))


def _dice(prediction: InstanceMap, truth: InstanceMap) -> Float[np.ndarray, "m o"]:
  """Dice of every predicted with every annotated instance."""
  if prediction.shape != truth.shape:
    raise ValueError(
      f"prediction is {prediction.shape} and truth is {truth.shape} (rows, columns): "
      "resize the prediction (nearest neighbour) to the size of the truth."
    )
  masks = [
    (labels.ravel() == _ids(labels)[:, None]).astype(np.float64)
    for labels in (prediction, truth)
  ]
  intersection = masks[0] @ masks[1].T
  areas = masks[0].sum(1)[:, None] + masks[1].sum(1)
  return 2 * intersection / np.maximum(areas, 1)


def _ids(labels: InstanceMap) -> Integer[np.ndarray, " n"]:
  ids = np.unique(labels)
  return ids[ids > 0]
