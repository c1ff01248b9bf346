"""Region similarity J."""

from typing import Any

import numpy as np
from jaxtyping import Bool, Shaped

# Bool, or integers where all but 0 is foreground. `check_masks` checks type and size,
# because its messages help more than those of a type checker.
Mask = Shaped[Any, "..."]


def region_similarity(prediction: Mask, truth: Mask, void: Mask | None = None) -> float:
  """Region similarity J = |prediction & truth| / |prediction | truth|.

  Args:
    prediction: predicted mask of one object in one frame.
    truth: annotated mask.
    void: ignored pixels; none by default.

  Returns:
    J in [0, 1]; 1.0 if both masks are empty outside of void.

  Raises:
    ValueError: the masks differ in size, or are not masks.

  Source: Perazzi et al., CVPR 2016 (measure J); equals the 2017 toolkit bit for bit.
  """
  prediction, truth = check_masks(prediction, truth, void)
  intersection = np.count_nonzero(prediction & truth)
  union = np.count_nonzero(prediction) + np.count_nonzero(truth) - intersection
  return intersection / union if union else 1.0


def check_masks(
  prediction: Mask, truth: Mask, void: Mask | None
) -> tuple[Bool[np.ndarray, "h w"], Bool[np.ndarray, "h w"]]:
  """Converts both masks to booleans and removes void from them.

  Raises:
    ValueError: the masks differ in size, or are not masks; names the argument.
  """
  prediction = _as_bool("prediction", prediction)
  truth = _as_bool("truth", truth)
  if prediction.shape != truth.shape:
    raise ValueError(
      f"prediction is {_size(prediction)} and truth is {_size(truth)} pixels: "
      "resize the prediction (nearest neighbour) to the size of the truth."
    )
  if void is None:
    return prediction, truth
  scored = ~_as_bool("void", void)
  if scored.shape != truth.shape:
    raise ValueError(
      f"void is {_size(scored)} and truth is {_size(truth)} pixels: "
      "take both from the same annotation."
    )
  return prediction & scored, truth & scored


def _as_bool(name: str, mask: Mask) -> Bool[np.ndarray, "h w"]:
  mask = np.asarray(mask)
  if mask.ndim != 2 or mask.dtype.kind not in "biu":
    raise ValueError(
      f"{name} is {mask.dtype} {list(mask.shape)}; give one mask [h w] of bool or "
      "integers. Threshold probabilities first, for example at 0.5."
    )
  return mask if mask.dtype == bool else mask != 0


def _size(mask: np.ndarray) -> str:
  return "x".join(str(size) for size in mask.shape)
