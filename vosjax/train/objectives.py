"""What each model is trained for: the only place where outputs and batches meet."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from vosjax.data.sources import VOID
from vosjax.losses.segmentation import binary_iou, binary_nll
from vosjax.models import unroll
from vosjax.ops import resize
from vosjax.types import Variables, VideoBatch


class Outputs(NamedTuple):
  """What a step reports beside its loss."""

  metrics: Mapping[str, Float[Array, ""]]
  batch_stats: Variables


Weight = float | Float[Array, ""]
Objective = Callable[
    [Variables, VideoBatch, Any], tuple[Float[Array, ""], Outputs]
]


def agame(
    model: nn.Module,
    losses: Mapping[str, Weight],
    *,
    remat: bool = False,
    unroll_steps: int = 1,
) -> Objective:
  """A-GAME: one object a clip, label 1, given in the first frame.

  The loss is the mean negative log-likelihood over all pixels of the clip; the given
  frame counts among them with a loss of nothing, as in the released program.

  Args:
    model: an AGame.
    losses: weights of "final" and "coarse"; 0 switches a loss off.
    remat: recompute time steps in the backward pass.
    unroll_steps: time steps per iteration of the scan.
  """

  def objective(variables, batch, key):
    del key  # nothing in this model is random
    frames = batch.frames.astype(jnp.float32) / 255
    truth = batch.labels == 1
    clip = unroll(
        model,
        variables,
        frames,
        truth[:, :1].astype(jnp.float32),
        recurrence="coarse",
        train=True,
        remat=remat,
        unroll_steps=unroll_steps,
    )
    t = frames.shape[1]
    truth, valid = truth[:, 1:], (batch.labels != VOID)[:, 1:]
    logits = clip.predictions.logits[:, :, 0]
    coarse = clip.predictions.aux["coarse_logits"][:, :, 0]

    def mean(nll):
      return (nll * valid).sum() / jnp.maximum(valid.sum(), 1) * (t - 1) / t

    terms = {
        "final": mean(binary_nll(logits, truth)),
        "coarse": mean(_coarse_nll(coarse, truth)),
    }
    loss = sum(losses[name] * term for name, term in terms.items())
    iou = binary_iou(logits > 0, truth, valid)
    metrics = {f"{name}_loss": term for name, term in terms.items()}
    metrics |= {"loss": loss, "iou": (iou.sum() / t / len(iou)) + 1 / t}
    return loss, Outputs(metrics, clip.batch_stats)

  return objective


def _coarse_nll(logits, truth):
  """Log-probabilities are formed at stride 16 and then interpolated."""
  b, t, h, w = truth.shape
  pair = jnp.stack([nn.log_sigmoid(-logits), nn.log_sigmoid(logits)], axis=-1)
  pair = resize.bilinear(pair.reshape(b * t, *pair.shape[2:]), (h, w))
  background, target = jnp.moveaxis(pair.reshape(b, t, h, w, 2), -1, 0)
  return -jnp.where(truth, target, background)


OBJECTIVES: dict[str, Callable[..., Objective]] = {"agame": agame}
