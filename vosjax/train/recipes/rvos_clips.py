"""Clips through RVOS as it is trained: every frame is decoded and counts."""

from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from vosjax.losses.instances import mean_over, soft_iou_cost, soft_iou_loss
from vosjax.losses.matching import mask_padding, match, reorder, valid_slots
from vosjax.models.api import Features
from vosjax.types import AnyArray, Variables

Previous = Literal["truth", "inferred"]


def decode_clip(
  model: nn.Module,
  variables: Variables,
  features: Features,
  truth: Float[AnyArray, "b t o h w"],
  *,
  previous: Previous = "inferred",
  remat: bool = False,
  unroll_steps: int | bool = 1,
) -> Float[Array, "b t o h w"]:
  """Probabilities of the objects in every frame of a clip.

  Args:
    model: an RVOS.
    variables: its variables.
    features: of the clip, from `models.unroll.encode_clip`.
    truth: masks of the objects. A one-shot model is given the first frame's.
    previous: what a one-shot model sees of the frame before: the truth, or what it
      inferred itself, through which no gradient passes. The first frame sees its own
      truth in both cases; with "truth" the second frame sees that once more.
    remat: recompute each frame in the backward pass.
    unroll_steps: frames per iteration of the scan; True: all.
  """
  truth = jnp.swapaxes(jnp.asarray(truth), 0, 1)
  given = truth[0] if model.one_shot else None
  first = jax.tree.map(lambda x: x[0], features)
  state = model.apply(variables, first, given, method="begin")

  def step(state, inputs):
    features, truth = inputs
    state, prediction = model.apply(
      variables, state, features, state.seen, method="segment"
    )
    probs = jax.nn.sigmoid(prediction.logits)
    shown = truth if previous == "truth" else jax.lax.stop_gradient(probs)
    state = model.apply(variables, state, features, shown, method="update")
    return state, probs

  step = jax.checkpoint(step) if remat else step
  probs = jax.lax.scan(step, state, (features, truth), unroll=unroll_steps)[1]
  return jnp.swapaxes(probs, 0, 1)


def clip_losses(
  probs: Float[AnyArray, "b t o h w"],
  truth: Float[AnyArray, "b t g h w"],
  valid: Bool[AnyArray, "b t g"],
  *,
  matched: bool,
) -> tuple[Float[Array, " t"], Int[Array, "b o"]]:
  """Loss of each frame, and the object that each slot stands for.

  Args:
    probs: of the slots.
    truth: masks of the objects.
    valid: which objects count in which frames; slot i counts where object i does.
    matched: slots are matched to objects in the first frame, for the whole clip
      (zero-shot); otherwise slot i stands for object i.
  """
  b, _, o = probs.shape[:3]
  if matched:
    cost = soft_iou_cost(probs[:, 0], truth[:, 0])
    objects = match(mask_padding(cost, valid[:, 0]))
  else:
    objects = jnp.broadcast_to(jnp.arange(o, dtype=jnp.int32)[None], (b, o))
  ordered = reorder(jnp.swapaxes(truth, 1, 2), objects)
  losses = soft_iou_loss(jnp.swapaxes(probs, 1, 2), ordered)
  counts = jax.vmap(valid_slots, in_axes=(1, None), out_axes=2)(valid, o)
  return jax.vmap(mean_over, in_axes=(2, 2))(losses, counts), objects
