"""COSNet's post-processing: a dense CRF aligns the mask with image edges."""

import numpy as np
from jaxtyping import Int

from vosjax import crf
from vosjax.inference.frame_result import FrameResult


def refine_labels(result: FrameResult) -> Int[np.ndarray, "h w"]:
  """Refines the labels of a primary object.

  As in the release, the probability is first stretched to [0, 1] within the frame.

  Args:
    result: of a model that finds one object.

  Source: the release of Lu et al., CVPR 2019; the first of the parameter sets that it
    tries.
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
