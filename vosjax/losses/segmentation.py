"""Losses of single pixels and masks."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from vosjax.types import AnyArray


def binary_nll(
  logits: Float[Array, "*any"], truth: Bool[Array, "*any"]
) -> Float[Array, "*any"]:
  """Negative log-likelihood of each pixel: -log sigmoid(logit) or -log sigmoid(-logit).

  Args:
    logits: object against background.
    truth: where the object is.
  """
  return -jax.nn.log_sigmoid(jnp.where(truth, logits, -logits))


def binary_iou(
  prediction: Bool[Array, "*batch h w"],
  truth: Bool[Array, "*batch h w"],
  valid: Bool[Array, "*batch h w"],
) -> Float[Array, "*batch"]:
  """Intersection over union |P and T| / |P or T| of each mask; 1 if both are empty.

  Args:
    prediction: predicted masks.
    truth: true masks.
    valid: pixels that count.

  Source: the released A-GAME, which adds 1e-8 to both terms.
  """
  axes = (-2, -1)
  intersection = (prediction & truth & valid).sum(axes)
  union = ((prediction | truth) & valid).sum(axes)
  return (intersection + 1e-8) / (union + 1e-8)


def scaled_bce(
  probs: Float[AnyArray, "*any"],
  truth: Bool[AnyArray, "*any"],
  *,
  min_positives: int = 1,
) -> Float[Array, ""]:
  """Binary cross-entropy, divided by the share of positive pixels in the batch.

  mean(-log p or -log (1 - p)) / mean(truth). Both classes are scaled alike, so this
  balances batches against each other, not classes.

  Args:
    probs: probability of the object.
    truth: where the object is.
    min_positives: the positive pixels are taken to be at least this many; with 0, as
      released, the loss of a batch without any is infinite.

  Source: the released COSNet.
  """
  share = jnp.maximum(truth.sum(), min_positives) / truth.size
  return _cross_entropy(probs, truth).mean() / share


def balanced_bce(
  probs: Float[AnyArray, "*any"], truth: Bool[AnyArray, "*any"]
) -> Float[Array, ""]:
  """Mean binary cross-entropy in which the rarer class weighs more.

  Positive pixels are weighted by the share of negative ones in the batch, and vice
  versa.

  Args:
    probs: probability of the object.
    truth: where the object is.

  Source: Lu et al., COSNet, CVPR 2019, equation 10.
  """
  share = truth.mean()
  return (jnp.where(truth, 1 - share, share) * _cross_entropy(probs, truth)).mean()


def overlap_loss(
  probs: Float[AnyArray, "n h w"], truth: Bool[AnyArray, "n h w"]
) -> Float[Array, ""]:
  """Twice the mean binary cross-entropy, plus 1 - soft IoU of each mask.

  The cross-entropy finds objects, the overlap decides how much of them: it weighs
  small ones like large ones, whatever their share of the pixels. One pixel is added to
  both terms of the soft IoU, so that it is 1 if both masks are empty.

  Args:
    probs: probability of the object.
    truth: where the object is.
  """
  inner = (probs * truth).sum((1, 2))
  union = (probs + truth).sum((1, 2)) - inner
  overlap = (inner + 1) / (union + 1)
  return 2 * _cross_entropy(probs, truth).mean() + (1 - overlap).mean()


def mean_absolute_error(
  probs: Float[AnyArray, "*any"], truth: Bool[AnyArray, "*any"]
) -> Float[Array, ""]:
  """Mean absolute difference between probabilities and the truth (0 or 1)."""
  return jnp.abs(probs - truth).mean()


def _cross_entropy(probs: AnyArray, truth: AnyArray) -> Array:
  """Cross-entropy of each pixel; logarithms, and their gradients, are cut at -100."""
  likelihood = jnp.where(truth, probs, 1 - probs)
  possible = likelihood > 0
  return jnp.where(possible, -jnp.log(jnp.where(possible, likelihood, 1)), 100.0)
