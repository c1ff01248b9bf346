"""Losses over pixels."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from vosjax.types import AnyArray


def binary_nll(
  logits: Float[Array, "*any"], truth: Bool[Array, "*any"]
) -> Float[Array, "*any"]:
  """Negative log-likelihood of each pixel, object against background."""
  return -jax.nn.log_sigmoid(jnp.where(truth, logits, -logits))


def binary_iou(
  prediction: Bool[Array, "*batch h w"],
  truth: Bool[Array, "*batch h w"],
  valid: Bool[Array, "*batch h w"],
) -> Float[Array, "*batch"]:
  """Intersection over union of each mask; 1 where both are empty.

  The 1e-8 in both terms is that of the released A-GAME.
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
  """Mean binary cross-entropy over the share of positive pixels in the batch.

  Both classes are scaled alike, so this balances batches, not classes.

  Args:
    probs: of the object.
    truth: where it is.
    min_positives: at least so many pixels count as positive; with 0, as released, the
      loss of a batch without any is infinite.

  Source: the released COSNet.
  """
  share = jnp.maximum(truth.sum(), min_positives) / truth.size
  return _cross_entropy(probs, truth).mean() / share


def balanced_bce(
  probs: Float[AnyArray, "*any"], truth: Bool[AnyArray, "*any"]
) -> Float[Array, ""]:
  """Mean binary cross-entropy in which the rarer class weighs more.

  Positive pixels weigh the share of negative ones in the batch, and the other way.

  Source: Lu et al., COSNet, CVPR 2019, equation 10.
  """
  share = truth.mean()
  return (jnp.where(truth, 1 - share, share) * _cross_entropy(probs, truth)).mean()


def mean_absolute_error(
  probs: Float[AnyArray, "*any"], truth: Bool[AnyArray, "*any"]
) -> Float[Array, ""]:
  """Mean distance of probabilities from the truth."""
  return jnp.abs(probs - truth).mean()


def _cross_entropy(probs, truth):
  """Of each pixel; logarithms stop at -100, and so do gradients there."""
  likelihood = jnp.where(truth, probs, 1 - probs)
  possible = likelihood > 0
  return jnp.where(possible, -jnp.log(jnp.where(possible, likelihood, 1)), 100.0)
