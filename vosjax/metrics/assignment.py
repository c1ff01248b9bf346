"""Assignment of proposals to objects."""

import numpy as np
from jaxtyping import Bool, Float, Int


def match_proposals(
  scores: Float[np.ndarray, "m o"],
) -> tuple[Int[np.ndarray, " k"], Int[np.ndarray, " k"]]:
  """Finds the one-to-one assignment with the largest total score.

  Args:
    scores: score of each proposal `m` for each object `o`.

  Returns:
    Indices of the matched proposals, ascending, and of their objects. Ties are broken
    as in the DAVIS 2017 toolkit, by the same solver.

  Source: Caelles et al., 2019 (unsupervised multi-object protocol).
  """
  # Imported here: its second would be most of the start of an evaluation's workers.
  import scipy.optimize

  proposals, objects = scipy.optimize.linear_sum_assignment(-scores)
  return proposals.astype(np.int64), objects.astype(np.int64)


def pairwise_region(
  proposals: Bool[np.ndarray, "m h w"], objects: Bool[np.ndarray, "o h w"]
) -> Float[np.ndarray, "m o"]:
  """J of every proposal with every object in one frame.

  Args:
    proposals: predicted masks, which may overlap.
    objects: annotated masks.

  Returns:
    J in [0, 1]; 1.0 where both masks are empty.
  """
  left = proposals.reshape(len(proposals), -1).astype(np.float32)
  right = objects.reshape(len(objects), -1).astype(np.float32)
  intersection = (left @ right.T).astype(np.float64)  # counts below 2^24 are exact
  areas = left.sum(1, dtype=np.float64)[:, None] + right.sum(1, dtype=np.float64)
  union = areas - intersection
  return np.where(union > 0, intersection / np.maximum(union, 1), 1.0)
