"""Losses of predicted instances: masks, classes, boxes and stop scores.

Sources: Romera-Paredes and Torr, ECCV 2016 (RIS); Salvador et al., arXiv 1712.00617
(RSIS); Ventura et al., CVPR 2019 (RVOS). Constants are those of the released programs.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from vosjax.losses.matching import mask_padding, match
from vosjax.types import AnyArray

_SOFT_IOU_EPSILON = 1e-6  # in the denominator only: the loss of an empty truth is 1
_LOG_EPSILON = 1e-12
_STOP_WEIGHT = 0.5


def soft_iou_loss(
  probs: Float[AnyArray, "*batch h w"], truth: Float[AnyArray, "*batch h w"]
) -> Float[Array, "*batch"]:
  """1 - sum(p t) / sum(p + t - p t) of each mask.

  Args:
    probs: probability of the object at each pixel.
    truth: its mask.
  """
  inner = (probs * truth).sum((-2, -1))
  union = (probs + truth - probs * truth).sum((-2, -1))
  return 1 - inner / (union + _SOFT_IOU_EPSILON)


def soft_iou_cost(
  probs: Float[AnyArray, "b o h w"], truth: Float[AnyArray, "b g h w"]
) -> Float[Array, "b g o"]:
  """`soft_iou_loss` of every pair of an object `g` and a prediction `o`."""
  inner, union = _overlaps(probs, truth)
  return 1 - inner / (union + _SOFT_IOU_EPSILON)


def _overlaps(probs: AnyArray, truth: AnyArray) -> tuple[Array, Array]:
  """Soft intersection and union [b g o] of every pair."""
  inner = jnp.einsum("bohw,bghw->bgo", probs, truth)
  union = truth.sum((2, 3))[:, :, None] + probs.sum((2, 3))[:, None] - inner
  return inner, union


def mean_over(
  values: Float[AnyArray, "*any"], valid: Bool[AnyArray, "*any"]
) -> Float[Array, ""]:
  """Mean over the valid entries of the whole batch; over all if none is valid."""
  valid = jnp.where(valid.any(), valid, True)
  return jnp.where(valid, values, 0.0).sum() / valid.sum()


def class_loss(
  logits: Float[AnyArray, "*batch k"], classes: Int[AnyArray, "*batch"]
) -> Float[Array, "*batch"]:
  """Cross-entropy of each object's class.

  Args:
    logits: of the classes `k`.
    classes: the true ones.
  """
  log_probs = jax.nn.log_softmax(logits)
  return -jnp.take_along_axis(log_probs, classes[..., None], axis=-1)[..., 0]


def stop_loss(
  logits: Float[AnyArray, "*batch"], is_object: Bool[AnyArray, "*batch"]
) -> Float[Array, "*batch"]:
  """Half the binary cross-entropy of "there is an object" (RSIS)."""
  signed = jnp.where(is_object, logits, -logits)
  return -_STOP_WEIGHT * jax.nn.log_sigmoid(signed)


def box_loss(
  boxes: Float[AnyArray, "*batch 4"], truth: Float[AnyArray, "*batch 4"]
) -> Float[Array, "*batch"]:
  """Mean squared error of each box's four coordinates.

  The released RSIS has no box head; this is our reading of its slides.

  Args:
    boxes: fractions of the image.
    truth: likewise.
  """
  return jnp.square(boxes - truth).mean(-1)


def relaxed_iou(
  probs: Float[AnyArray, "b o h w"], truth: Float[AnyArray, "b g h w"]
) -> Float[Array, "b g o"]:
  """Relaxed IoU sum(p t) / (sum p + sum t - sum(p t)) of every pair (RIS).

  It is 0 if both masks are empty. The plus sign that some slides have in the
  denominator is a misprint: the paper and the program subtract the intersection.
  """
  inner, union = _overlaps(probs, truth)
  return inner / jnp.maximum(union, _LOG_EPSILON)


def ris_loss(
  probs: Float[AnyArray, "b o h w"],
  scores: Float[AnyArray, "b o"],
  truth: Float[AnyArray, "b g h w"],
  valid: Bool[AnyArray, "b g"],
  *,
  score_weight: float = 1.0,
  extra: int | None = None,
) -> Float[Array, " b"]:
  """Loss of each image in RIS: lambda * cross-entropy of the scores - matched IoU.

  With n objects, the first n predictions are matched and should have a score of 1;
  later ones should have 0. The program reports this loss divided by the number of
  predictions, but follows the gradient of the undivided one.

  Args:
    probs: masks of the predictions, in the order in which they were made.
    scores: probability that a prediction is an object.
    truth: masks of the objects, valid ones first.
    valid: which objects are no padding.
    score_weight: lambda.
    extra: how many predictions beyond the first n count; None: all.
  """
  iou = relaxed_iou(probs, truth)
  matched = match(mask_padding(-iou, valid))
  index = jnp.maximum(matched, 0)[:, None]
  matched_iou = jnp.take_along_axis(iou, index, axis=1)[:, 0]
  index, count = jnp.arange(probs.shape[1])[None], valid.sum(1)[:, None]
  expected = index < count
  likelihood = jnp.where(expected, scores, 1 - scores)
  score_loss = -jnp.log(likelihood + _LOG_EPSILON)
  losses = score_weight * score_loss - jnp.where(expected, matched_iou, 0.0)
  counted = True if extra is None else index < count + extra
  return jnp.where(counted, losses, 0.0).sum(1)
