"""COSNet's dense CRF on the result of a frame."""

import numpy as np

from vosjax.inference import refinement
from vosjax.inference.frame_result import FrameResult

SIZE = (24, 34)


def test_the_crf_moves_a_mask_to_an_edge():
  frame = np.zeros((*SIZE, 3), np.uint8)
  frame[:, 17:] = 250
  labels = np.zeros(SIZE, np.int32)
  labels[:, 19:] = 1  # two pixels off
  probs = np.full(SIZE, 0.1, np.float32)
  probs[:, 17:19], probs[:, 19:] = 0.45, 0.9
  result = FrameResult(frame, labels, (1,), probs[None, None], (0,))
  np.testing.assert_array_equal(refinement.refine_labels(result), frame[..., 0] > 0)


def test_a_constant_probability_leaves_the_labels_as_they_are():
  labels = np.eye(*SIZE, dtype=np.int32)
  probs = np.full((1, 1, *SIZE), 0.5, np.float32)
  result = FrameResult(np.zeros((*SIZE, 3), np.uint8), labels, (1,), probs, (0,))
  np.testing.assert_array_equal(refinement.refine_labels(result), labels)
