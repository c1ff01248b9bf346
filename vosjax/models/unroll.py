"""A clip through any model: the step that inference calls, scanned over time."""

from typing import Any, Literal, get_args

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from vosjax.models.api import (
  Features,
  KeepsSlots,
  Readout,
  State,
  TakesReferences,
  bind,
)
from vosjax.ops.masks import soft_aggregate
from vosjax.types import Active, AnyArray, Masks, Prediction, Variables, record

Recurrence = Literal["coarse", "coarse_aggregated", "fine", "aggregated"]


@record
class Unrolled:
  """Result of a clip; time is the second axis of every leaf of the predictions.

  Attributes:
    predictions: one per frame that was segmented: of `t` frames all, or the last
      `t - 1` where the first one's masks were given.
    probs: what the state was updated with after each of these frames, at the size of
      the clip's frames or of the features.
    state: after the last frame.
    batch_stats: running statistics after the clip; unchanged unless training.
  """

  predictions: Prediction
  probs: Float[Array, "b t o h w"]
  state: State
  batch_stats: Variables


def default_recurrence(readout: Readout) -> Recurrence:
  """What states are updated with, in inference and training, unless told otherwise."""
  return "aggregated" if readout.threshold is None else "fine"


def decide(prediction: Prediction, active: Active, recurrence: Recurrence) -> Masks:
  """Object probabilities with which a state is updated.

  Args:
    prediction: of one frame.
    active: which slots count.
    recurrence: "coarse": each object's own coarse prediction, as in A-GAME's training;
      "coarse_aggregated": the same, after soft aggregation where there are several
      objects, as on A-GAME's slides at test time; "fine": each object's own final
      prediction; "aggregated": the final predictions after soft aggregation over all
      objects.

  Raises:
    ValueError: the recurrence is unknown, or needs a coarse prediction that the model
      does not make.
  """
  if recurrence not in get_args(Recurrence):
    raise ValueError(
      f"recurrence is {recurrence!r}; known: {list(get_args(Recurrence))}."
    )
  if recurrence == "fine":
    return jax.nn.sigmoid(prediction.logits)
  active = jnp.asarray(active)
  if recurrence == "aggregated":
    return soft_aggregate(prediction.logits, active)[:, 1:]
  if "coarse_logits" not in prediction.aux:
    raise ValueError(
      f"recurrence is {recurrence!r}, but the model makes no coarse prediction (it "
      f"returns {sorted(prediction.aux)} beside its logits). Use 'fine' or "
      "'aggregated'."
    )
  coarse = prediction.aux["coarse_logits"]
  separate = jax.nn.sigmoid(coarse)
  if recurrence == "coarse":
    return separate
  several = active.sum(1)[:, None, None, None] > 1
  return jnp.where(several, soft_aggregate(coarse, active)[:, 1:], separate)


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
  stats = updated.get("batch_stats") or variables.get("batch_stats", {})
  by_time = jax.tree.map(
    lambda x: jnp.swapaxes(x.reshape(b, t, *x.shape[1:]), 0, 1), features
  )
  return by_time, stats


def unroll(
  model: nn.Module,
  variables: Variables,
  frames: Float[AnyArray, "b t h w 3"] | Any,
  masks: Masks | Any | None = None,
  *,
  active: Active | Any | None = None,
  recurrence: Recurrence | str | None = None,
  truth: Float[AnyArray, "b t o h w"] | Any | None = None,
  segment_first: bool = False,
  stop_gradient: bool = False,
  train: bool = False,
  remat: bool = False,
  unroll_steps: int | bool = 1,
) -> Unrolled:
  """Segments clips with any model.

  One-shot models are given the objects of the first frame and segment the others.
  Zero-shot models segment all frames. COSNet compares each frame with those before
  it: the first frame is every reference at first, and each frame that has been
  segmented replaces the oldest one, as in
  `VideoSegmenter(..., reference_policy="consecutive")`.

  Args:
    model: from `build`.
    variables: its variables.
    frames: RGB in [0, 1], of a size that the model accepts.
    masks: of the objects in the first frame, [b o h w]; None for a zero-shot model.
    active: which slots count, [b o]; all by default. RSIS and RIS decode as many
      objects as there are slots here.
    recurrence: what states are updated with, see `decide`. By default as in inference:
      "aggregated" where objects compete for pixels, otherwise "fine".
    truth: teacher forcing: masks of the objects in every frame, with which the states
      of a one-shot model are updated instead of what was predicted.
    segment_first: segment the first frame of a one-shot model, too, whose masks are
      then those of the frame before it. RVOS is trained so; A-GAME cannot.
    stop_gradient: no gradient passes through what the states are updated with.
    train: `encode` uses batch statistics in the trained layers and updates the running
      ones. Steps use the running ones. Only COSNet's heads have BatchNorm there; its
      recipe trains them on pairs and groups, without `unroll`.
    remat: recompute each step in the backward pass instead of storing it.
    unroll_steps: time steps per iteration of the scan; True: all, False: one.

  Raises:
    ValueError: an argument has the wrong type or shape, or the model cannot do what
      is asked. Everything is checked while tracing.
  """
  _check_frames(model, frames, masks, active, truth)
  features, stats = encode_clip(model, variables, frames, train=train)
  unrolled = unroll_features(
    model,
    variables,
    features,
    masks,
    active=active,
    recurrence=recurrence,
    truth=truth,
    segment_first=segment_first,
    stop_gradient=stop_gradient,
    remat=remat,
    unroll_steps=unroll_steps,
  )
  return Unrolled(unrolled.predictions, unrolled.probs, unrolled.state, stats)


def unroll_features(
  model: nn.Module,
  variables: Variables,
  features: Features,
  masks: Masks | Any | None = None,
  *,
  active: Active | Any | None = None,
  recurrence: Recurrence | str | None = None,
  truth: Float[AnyArray, "b t o h w"] | Any | None = None,
  segment_first: bool = False,
  stop_gradient: bool = False,
  remat: bool = False,
  unroll_steps: int | bool = 1,
) -> Unrolled:
  """`unroll` from features that `encode_clip` has computed."""
  _check_rule(model, masks, recurrence, truth, segment_first)
  readout = model.readout
  rule: Any = recurrence or default_recurrence(readout)
  length, b = jax.tree.leaves(features)[0].shape[:2]
  if active is None:
    active = jnp.ones((b, readout.num_slots if masks is None else masks.shape[1]), bool)
  active = jnp.asarray(active)
  masks = None if masks is None else jnp.asarray(masks)
  first = jax.tree.map(lambda x: x[0], features)
  network = bind(model, variables)
  if segment_first:
    assert isinstance(network, KeepsSlots)
    state = network.begin(first, masks)
  else:
    state = network.init_state(first, masks)

  def step(state: State, inputs: tuple[Array, Features, Array | None]) -> Any:
    t, features, true_masks = inputs
    network = bind(model, variables)
    state, prediction = network.segment(state, features, active)
    probs = decide(prediction, active, rule) if true_masks is None else true_masks
    if stop_gradient:
      probs = jax.lax.stop_gradient(probs)
    state = network.update(state, features, probs)
    if isinstance(network, TakesReferences) and network.num_references:
      state = network.remember(state, features, t % network.num_references)
    return state, (prediction, probs)

  step = jax.checkpoint(step) if remat else step
  by_time = None if truth is None else jnp.swapaxes(jnp.asarray(truth), 0, 1)
  start = 1 if readout.one_shot and not segment_first else 0
  inputs = jax.tree.map(lambda x: x[start:], (jnp.arange(length), features, by_time))
  if length - start == 1:  # XLA optimises less within a loop, even one of one step
    state, outputs = step(state, jax.tree.map(lambda x: x[0], inputs))
    predictions, probs = jax.tree.map(lambda x: x[:, None], outputs)
  else:
    state, outputs = jax.lax.scan(step, state, inputs, unroll=unroll_steps)
    predictions, probs = jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), outputs)
  return Unrolled(predictions, probs, state, variables.get("batch_stats", {}))


def _check_frames(
  model: nn.Module,
  frames: Any,
  masks: Any | None,
  active: Any | None,
  truth: Any | None,
) -> None:
  """Refuses arrays of wrong types and shapes, from static facts."""
  _check_floats("frames", frames, "b t h w 3", (None, None, None, None, 3))
  b, t, h, w, _ = frames.shape
  if b == 0:
    raise ValueError("unroll(): frames hold no clip (b = 0); pass at least one.")
  if t == 0:
    raise ValueError("unroll(): frames hold no frame (t = 0); pass at least one.")
  if h == 0 or w == 0:
    raise ValueError(f"unroll(): frames have no pixels ({h}x{w}).")
  slots = None
  if masks is not None:
    _check_floats("masks", masks, "b o h w", (b, None, h, w))
    slots = masks.shape[1]
    if slots == 0:
      raise ValueError("unroll(): masks hold no object (o = 0); pass at least one.")
  elif isinstance(model, KeepsSlots):
    slots = model.readout.num_slots
  if truth is not None:
    _check_floats("truth", truth, "b t o h w", (b, t, slots, h, w))
  if active is not None:
    active = active if hasattr(active, "dtype") else np.asarray(active)
    if active.dtype != bool or not _fits(active, (b, slots)):
      raise ValueError(
        f"unroll(): active is {active.dtype} {list(active.shape)}; expected bool [b o] "
        f"= {_shape_text('b o', (b, slots))}."
      )
    if active.shape[1] == 0:
      raise ValueError("unroll(): active has no slot (o = 0); pass at least one.")


def _check_rule(
  model: nn.Module,
  masks: Any | None,
  recurrence: str | None,
  truth: Any | None,
  segment_first: bool,
) -> None:
  """Refuses what the model cannot do."""
  name, one_shot = type(model).__name__, model.readout.one_shot
  if one_shot and masks is None:
    raise ValueError(
      f"unroll(): {name} is one-shot, but masks is None. Pass the masks [b o h w] of "
      "the objects in the first frame."
    )
  for argument, value in (("masks", masks), ("truth", truth)):
    if value is not None and not one_shot:
      raise ValueError(
        f"unroll(): {argument} is given, but {name} is zero-shot and finds objects by "
        "itself. Leave it out."
      )
  if recurrence not in (None, *get_args(Recurrence)):
    raise ValueError(
      f"unroll(): recurrence is {recurrence!r}; known: {list(get_args(Recurrence))}."
    )
  if recurrence not in (None, "fine") and not one_shot:
    raise ValueError(
      f"unroll(): recurrence is {recurrence!r}, but {name} is zero-shot, and its state "
      "does not depend on what is decided. Leave it out."
    )
  if recurrence is not None and truth is not None:
    raise ValueError(
      f"unroll(): truth is given beside recurrence={recurrence!r}, but states are "
      "updated with only one of them. Leave one out."
    )
  if segment_first and not one_shot:
    raise ValueError(
      f"unroll(): segment_first is True, but {name} is zero-shot and segments the "
      "first frame in any case. Leave it out."
    )
  if segment_first and not isinstance(model, KeepsSlots):
    raise ValueError(
      f"unroll(): segment_first is True, but {name} has no state before the first "
      "frame. Leave it out."
    )


def _check_floats(
  name: str, value: Any, axes: str, shape: tuple[int | None, ...]
) -> None:
  dtype = getattr(value, "dtype", None)
  if dtype is None or not jnp.issubdtype(dtype, np.floating):
    hint = " Divide bytes by 255." if name == "frames" else ""
    raise ValueError(
      f"unroll(): {name} must be floating-point numbers in [0, 1], not "
      f"{dtype or type(value).__name__}.{hint}"
    )
  if not _fits(value, shape):
    raise ValueError(
      f"unroll(): {name} has shape {list(value.shape)}; expected [{axes}] = "
      f"{_shape_text(axes, shape)}."
    )


def _fits(array: Any, shape: tuple[int | None, ...]) -> bool:
  return len(array.shape) == len(shape) and all(
    size in (None, found) for found, size in zip(array.shape, shape)
  )


def _shape_text(axes: str, shape: tuple[int | None, ...]) -> str:
  """Such as [2, t, 32, 48, 3], with letters for axes of any length."""
  sizes = zip(axes.split(), shape)
  return f"[{', '.join(axis if n is None else str(n) for axis, n in sizes)}]"
