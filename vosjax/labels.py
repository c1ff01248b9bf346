"""What values of label maps mean: 0 is background, `VOID` is void, others are ids.

Needs nothing but NumPy, because data workers and evaluations load no JAX.
"""

import numpy as np
from jaxtyping import Integer

VOID = 255  # pixels that belong to nothing that is known


def find_ids(labels: Integer[np.ndarray, "h w"]) -> tuple[int, ...]:
  """Finds the ids of the objects in a frame, in ascending order."""
  return tuple(i for i in np.unique(labels).tolist() if i not in (0, VOID))
