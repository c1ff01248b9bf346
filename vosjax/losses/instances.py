"""Losses of predicted instances, one value each: masks, classes, boxes and stops.

Sources: Romera-Paredes and Torr, ECCV 2016 (RIS); Salvador et al., arXiv 1712.00617
(RSIS); Ventura et al., CVPR 2019 (RVOS). Constants are those of the released programs.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from vosjax.losses.matching import mask_padding, match
from vosjax.types import AnyArray

_SOFT_IOU_EPSILON = 1e-6  # in the denominator alone: an empty truth costs exactly 1
_LOG_EPSILON = 1e-12
_STOP_WEIGHT = 0.5


def soft_iou_loss(
  probs: Float[AnyArray, "*batch h w"], truth: Float[AnyArray, "*batch h w"]
) -> Float[Array, "*batch"]:
  """1 - soft IoU of each mask."""
  inner = (probs * truth).sum((-2, -1))
  union = (probs + truth - probs * truth).sum((-2, -1))
  return 1 - inner / (union + _SOFT_IOU_EPSILON)


def soft_iou_cost(
  probs: Float[AnyArray, "b t h w"], truth: Float[AnyArray, "b g h w"]
) -> Float[Array, "b g t"]:
  """`soft_iou_loss` of every pair of an object and a prediction."""
  inner, union = _overlaps(probs, truth)
  return 1 - inner / (union + _SOFT_IOU_EPSILON)


def _overlaps(probs, truth):
  inner = jnp.einsum("bthw,bghw->bgt", probs, truth)
  union = truth.sum((2, 3))[:, :, None] + probs.sum((2, 3))[:, None] - inner
  return inner, union


def mean_over(
  values: Float[AnyArray, "*any"], valid: Bool[AnyArray, "*any"]
) -> Float[Array, ""]:
  """Mean over valid entries of the whole batch; over all where none is valid."""
  valid = jnp.where(valid.any(), valid, True)
  return jnp.where(valid, values, 0.0).sum() / valid.sum()


def class_loss(
  logits: Float[AnyArray, "*batch k"], classes: Int[AnyArray, "*batch"]
) -> Float[Array, "*batch"]:
  """Cross-entropy of each object's class."""
  log_probs = jax.nn.log_softmax(logits)
  return -jnp.take_along_axis(log_probs, classes[..., None], axis=-1)[..., 0]


def stop_loss(
  logits: Float[AnyArray, "*batch"], is_object: Bool[AnyArray, "*batch"]
) -> Float[Array, "*batch"]:
  """Half the binary cross-entropy of "here is an object" (RSIS)."""
  signed = jnp.where(is_object, logits, -logits)
  return -_STOP_WEIGHT * jax.nn.log_sigmoid(signed)


def box_loss(
  boxes: Float[AnyArray, "*batch 4"], truth: Float[AnyArray, "*batch 4"]
) -> Float[Array, "*batch"]:
  """Mean squared error of each box's four fractions; our reading of RSIS's slides."""
  return jnp.square(boxes - truth).mean(-1)


def relaxed_iou(
  probs: Float[AnyArray, "b t h w"], truth: Float[AnyArray, "b g h w"]
) -> Float[Array, "b g t"]:
  """Relaxed IoU of every pair (RIS); 0 where both masks are empty.

  The intersection is subtracted in the denominator, as in the paper and the program;
  the plus sign on some slides is a misprint.
  """
  inner, union = _overlaps(probs, truth)
  return inner / jnp.maximum(union, _LOG_EPSILON)


def ris_loss(
  probs: Float[AnyArray, "b t h w"],
  scores: Float[AnyArray, "b t"],
  truth: Float[AnyArray, "b g h w"],
  valid: Bool[AnyArray, "b g"],
  *,
  score_weight: float = 1.0,
  extra: int | None = None,
) -> Float[Array, " b"]:
  """Loss of each image: matched IoU, and scores that say where objects end.

  The first predictions, as many as there are objects, are matched and should score
  1; later ones should score 0. The program reports this over the number of
  predictions but follows its gradient undivided.

  Args:
    probs: masks of the predictions, in their order.
    scores: probability that a prediction is an object.
    truth: masks of the objects, valid ones first.
    valid: which objects there are.
    score_weight: lambda.
    extra: predictions after those of the objects that take part; None: all.
  """
  iou = relaxed_iou(probs, truth)
  matched = match(mask_padding(-iou, valid))
  taken = jnp.maximum(matched, 0)[:, None]
  own = jnp.take_along_axis(iou, taken, axis=1)[:, 0]
  place, count = jnp.arange(probs.shape[1])[None], valid.sum(1)[:, None]
  expected = place < count
  likelihood = jnp.where(expected, scores, 1 - scores)
  score_loss = -jnp.log(likelihood + _LOG_EPSILON)
  losses = score_weight * score_loss - jnp.where(expected, own, 0.0)
  taking_part = True if extra is None else place < count + extra
  return jnp.where(taking_part, losses, 0.0).sum(1)
