"""A clip through any model: the step that inference calls, scanned."""

from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from vosjax.models.api import Features, State
from vosjax.ops.masks import soft_aggregate
from vosjax.types import Active, AnyArray, Masks, Prediction, Variables, record

Recurrence = Literal["coarse", "coarse_aggregated", "fine", "aggregated"]


@record
class Unrolled:
  """Result of a clip.

  Attributes:
    predictions: leaves begin with `b t`; the reference frame is not among them.
    probs: what each frame's update was given, at the size of frame or features.
    state: after the last frame.
    batch_stats: running statistics after the clip; as they were unless training.
  """

  predictions: Prediction
  probs: Float[Array, "b t o h w"]
  state: State
  batch_stats: Variables


def decide(prediction: Prediction, active: Active, recurrence: Recurrence) -> Masks:
  """Object probabilities that a state is updated with.

  Args:
    prediction: of one frame.
    active: which slots count.
    recurrence: "coarse": each object's own coarse prediction, as in training;
      "coarse_aggregated": the same, after soft aggregation where there are several
      objects, as the slides of A-GAME have it at test time; "fine": each object's
      own final prediction; "aggregated": the final predictions after soft aggregation
      over objects.
  """
  if recurrence == "coarse":
    return jax.nn.sigmoid(prediction.aux["coarse_logits"])
  if recurrence == "coarse_aggregated":
    coarse = prediction.aux["coarse_logits"]
    several = active.sum(1)[:, None, None, None] > 1
    together = soft_aggregate(coarse, active)[:, 1:]
    return jnp.where(several, together, jax.nn.sigmoid(coarse))
  if recurrence == "fine":
    return jax.nn.sigmoid(prediction.logits)
  return soft_aggregate(prediction.logits, active)[:, 1:]


def encode_clip(
  model: nn.Module,
  variables: Variables,
  frames: Float[AnyArray, "b t h w 3"],
  *,
  train: bool,
) -> tuple[Features, Variables]:
  """Features of all frames, leaves [t b ...], and batch statistics after the clip."""
  b, t = frames.shape[:2]
  features, updated = model.apply(
    variables,
    frames.reshape(b * t, *frames.shape[2:]),
    steps=t,
    train=train,
    method="encode",
    mutable=["batch_stats"] if train else [],
  )
  stats = updated.get("batch_stats", variables.get("batch_stats", {}))
  return time_first(features, t), stats


def time_first(features: Features, t: int) -> Features:
  """Leaves [(b t) ...] as [t b ...]."""
  return jax.tree.map(
    lambda x: jnp.swapaxes(x.reshape(-1, t, *x.shape[1:]), 0, 1), features
  )


def unroll(
  model: nn.Module,
  variables: Variables,
  frames: Float[AnyArray, "b t h w 3"],
  masks: Masks | None,
  *,
  active: Active | None = None,
  recurrence: Recurrence = "aggregated",
  train: bool = False,
  remat: bool = False,
  unroll_steps: int = 1,
) -> Unrolled:
  """Segments clips whose first frame is given.

  Args:
    model: any VosModel.
    variables: its variables.
    frames: RGB in [0, 1].
    masks: of the objects in the first frame.
    active: which of their slots count; by default all.
    recurrence: what states are updated with, see `decide`.
    train: batch statistics in trained layers.
    remat: recompute each step in the backward pass.
    unroll_steps: time steps per iteration of the scan.
  """
  if active is None:
    active = jnp.ones(masks.shape[:2], bool)
  features, stats = encode_clip(model, variables, frames, train=train)
  first, rest = (
    jax.tree.map(lambda x, at=at: x[at], features) for at in (0, slice(1, None))
  )
  state = model.apply(variables, first, masks, method="init_state")

  def step(state, features):
    state, prediction = model.apply(
      variables, state, features, active, method="segment"
    )
    probs = decide(prediction, active, recurrence)
    state = model.apply(variables, state, features, probs, method="update")
    return state, (prediction, probs)

  step = jax.checkpoint(step) if remat else step
  state, outputs = jax.lax.scan(step, state, rest, unroll=unroll_steps)
  predictions, probs = jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), outputs)
  return Unrolled(predictions, probs, state, stats)
