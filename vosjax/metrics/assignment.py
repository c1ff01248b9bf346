"""Which proposal stands for which object."""

import numpy as np
import scipy.optimize
from jaxtyping import Bool, Float, Int


def match_proposals(
  scores: Float[np.ndarray, "m o"],
) -> tuple[Int[np.ndarray, " k"], Int[np.ndarray, " k"]]:
  """The pairing of proposals and objects with the largest total score.

  Args:
    scores: of each proposal for each object.

  Returns:
    Matched proposals, ascending, and their objects, both counted from 0. Equal
    totals are settled as in the 2017 toolkit, by the same solver.

  Source: Caelles et al., 2019 (unsupervised multi-object protocol).
  """
  proposals, objects = scipy.optimize.linear_sum_assignment(-scores)
  return proposals.astype(np.int64), objects.astype(np.int64)


def pairwise_region(
  proposals: Bool[np.ndarray, "m h w"], objects: Bool[np.ndarray, "o h w"]
) -> Float[np.ndarray, "m o"]:
  """J of every proposal with every object in one frame; proposals may overlap."""
  left = proposals.reshape(len(proposals), -1).astype(np.float32)
  right = objects.reshape(len(objects), -1).astype(np.float32)
  common = (left @ right.T).astype(np.float64)  # counts below 2^24 are exact
  areas = left.sum(1, dtype=np.float64)[:, None] + right.sum(1, dtype=np.float64)
  union = areas - common
  return np.where(union > 0, common / np.maximum(union, 1), 1.0)
