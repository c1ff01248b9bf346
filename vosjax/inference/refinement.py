"""Masks of a primary object that follow the picture's edges (COSNet's last step)."""

import numpy as np
from jaxtyping import Int

from vosjax import crf
from vosjax.inference.frame_result import FrameResult


def refine_labels(result: FrameResult) -> Int[np.ndarray, "h w"]:
  """Labels after the dense CRF, with the first of the parameters that COSNet tries.

  As in the release, the probability is stretched to [0, 1] within the frame before.

  Args:
    result: of a model that finds one object.
  """
  probs = result.probs[0]
  low, high = probs.min(), probs.max()
  if high == low:
    return result.labels
  refined = crf.refine(
    result.frame,
    (probs - low) / (high - low),
    bilateral_position=10.0,
    bilateral_compatibility=8.0,
  )
  return (np.asarray(refined) > 0.5).astype(np.int32) * result.object_ids[0]
