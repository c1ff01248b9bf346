"""Region similarity J."""

from typing import Any

import numpy as np
from jaxtyping import Bool, Integer

# Bool, or whole numbers of which all but 0 are foreground. The sizes of two masks
# are compared by `check_masks`, whose message names them.
Mask = Bool[Any, "_h _w"] | Integer[Any, "_h _w"]


def region_similarity(
    prediction: Mask, truth: Mask, void: Mask | None = None
) -> float:
  """Region similarity J: intersection over union of two masks.

  Args:
    prediction: predicted mask of one object in one frame.
    truth: annotated mask.
    void: pixels that do not count; none by default.

  Returns:
    J in [0, 1]; 1.0 when both masks are empty outside of void.

  Raises:
    ValueError: the masks differ in size.

  Source: Perazzi et al., CVPR 2016 (measure J); equals the 2017 toolkit bit for bit.
  """
  prediction, truth = check_masks(prediction, truth, void)
  intersection = np.count_nonzero(prediction & truth)
  union = np.count_nonzero(prediction) + np.count_nonzero(truth) - intersection
  return intersection / union if union else 1.0


def check_masks(
    prediction: Mask, truth: Mask, void: Mask | None
) -> tuple[Bool[np.ndarray, "h w"], Bool[np.ndarray, "h w"]]:
  """Both masks as booleans without void, or a ValueError naming what differs."""
  prediction, truth = np.asarray(prediction) != 0, np.asarray(truth) != 0
  if prediction.shape != truth.shape:
    raise ValueError(
        f"prediction is {_size(prediction)} and truth is {_size(truth)} pixels: "
        "resize the prediction (nearest neighbour) to the size of the truth.")
  if void is None:
    return prediction, truth
  scored = np.asarray(void) == 0
  if scored.shape != truth.shape:
    raise ValueError(
        f"void is {_size(scored)} and truth is {_size(truth)} pixels: "
        "take both from the same annotation.")
  return prediction & scored, truth & scored


def _size(mask: np.ndarray) -> str:
  return "x".join(str(size) for size in mask.shape)
