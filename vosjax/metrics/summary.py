"""Mean, recall and decay of a measure over a video."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int, Integer


class Summary(NamedTuple):
  """Statistics of a measure over the frames of one video.

  Attributes:
    mean: average over frames.
    recall: fraction of frames above 0.5.
    decay: mean of the first quarter minus mean of the last one; positive values mean
      that the measure got worse over time.
  """

  mean: float
  recall: float
  decay: float


def summarize(values: Float[Any, " t"] | Integer[Any, " t"] | list[float]) -> Summary:
  """Mean, recall and decay of one object's values in one video.

  NaN is left out of means and counts as a miss in the recall. The decay is correct
  beyond 255 frames, where the toolkit's 8-bit frame indices overflow.

  Args:
    values: J or F of each scored frame, in temporal order.

  Raises:
    ValueError: there are no values.

  Source: Perazzi et al., CVPR 2016; equals the 2017 toolkit bit for bit up to 255
  frames.
  """
  values = np.asarray(values, np.float64)
  if values.ndim != 1 or not values.size:
    raise ValueError(
      "summarize() takes the values of one video, one per frame, but got an array of "
      f"shape {list(values.shape)}."
    )
  edges = bin_edges(len(values))
  first = values[edges[0] : edges[1] + 1]
  last = values[edges[3] : edges[4] + 1]
  return Summary(
    mean=nan_mean(values),
    recall=float(np.mean(values > 0.5)),
    decay=nan_mean(first) - nan_mean(last),
  )


def bin_edges(num_frames: int) -> Int[np.ndarray, "5"]:
  """First and last frames of the quarters; neighbours share the frame between them."""
  positions = np.round(np.linspace(1, num_frames, 5) + 1e-10) - 1
  return positions.astype(np.int64)


def nan_mean(values: Float[np.ndarray, " t"]) -> float:
  """Mean of the values that are not NaN; NaN if there are none."""
  numbers = values[~np.isnan(values)]
  return float(np.mean(numbers)) if numbers.size else float("nan")
