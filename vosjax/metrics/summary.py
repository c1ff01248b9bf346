"""Mean, recall and decay of a measure over a sequence."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int, Integer


class Summary(NamedTuple):
  """A measure over the frames of one sequence.

  Attributes:
    mean: average over frames.
    recall: fraction of frames above one half.
    decay: mean of the first quarter minus mean of the last; positive = got worse.
  """

  mean: float
  recall: float
  decay: float


def summarize(values: Float[Any, " t"] | Integer[Any, " t"] | list[float]) -> Summary:
  """Mean, recall and decay of one object's values in one sequence.

  NaN is left out of means; in the recall it counts as a miss. Unlike the toolkit,
  which counts frames in 8 bits, the decay is right beyond 255 frames.

  Args:
    values: J or F of each scored frame, in time order.

  Raises:
    ValueError: there are no values.

  Source: Perazzi et al., CVPR 2016; equals the 2017 toolkit bit for bit up to 255
  frames.
  """
  values = np.asarray(values, np.float64)
  if values.ndim != 1 or not values.size:
    raise ValueError(
      f"summarize() takes the values of one sequence, one for each frame, but "
      f"got an array of shape {list(values.shape)}."
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
  """Frames at which the quarters of a sequence meet; both ends belong to a quarter."""
  positions = np.round(np.linspace(1, num_frames, 5) + 1e-10) - 1
  return positions.astype(np.int64)


def nan_mean(values: Float[np.ndarray, " t"]) -> float:
  """Mean of what is not NaN; NaN when nothing is left."""
  known = values[~np.isnan(values)]
  return float(np.mean(known)) if known.size else float("nan")
