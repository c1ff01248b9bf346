"""Losses for video object segmentation, as functions of JAX arrays.

Gradients pass through predictions, but not through `match`, which assigns objects to
them, nor through `binary_iou`, which is a measure. A prediction is a logit or a
probability, as each function says; the truth is boolean, or masks of 0 and 1. `b` are
images or clips, `o` predictions, `g` objects of the truth.
"""

from vosjax.losses.instances import (
  box_loss,
  class_loss,
  mean_over,
  relaxed_iou,
  ris_loss,
  soft_iou_cost,
  soft_iou_loss,
  stop_loss,
)
from vosjax.losses.matching import (
  PADDING_COST,
  mask_padding,
  match,
  reorder,
  valid_slots,
)
from vosjax.losses.orthogonality import orthogonality_penalty
from vosjax.losses.segmentation import (
  balanced_bce,
  binary_iou,
  binary_nll,
  mean_absolute_error,
  overlap_loss,
  scaled_bce,
)

__all__ = [
  "PADDING_COST",
  "balanced_bce",
  "binary_iou",
  "binary_nll",
  "box_loss",
  "class_loss",
  "mask_padding",
  "match",
  "mean_absolute_error",
  "mean_over",
  "orthogonality_penalty",
  "overlap_loss",
  "relaxed_iou",
  "reorder",
  "ris_loss",
  "scaled_bce",
  "soft_iou_cost",
  "soft_iou_loss",
  "stop_loss",
  "valid_slots",
]
