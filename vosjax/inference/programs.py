"""The compiled programs of inference, over batches of videos.

Each function but `prepare`, `encode_frames` and `add_slots` is one program, in the
order in which a video needs them. A program is compiled once for each model, options
and shapes (frame size, slots, frames in a batch), and all segmenters of a process share
it. Each calls methods of the model's protocol (`vosjax/models/api.py`).
"""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Shaped, UInt8

from vosjax.inference import compilation, confidence, painting
from vosjax.inference.casting import cast_weights
from vosjax.models.api import (
  Features,
  KeepsSlots,
  State,
  TakesCorrections,
  TakesReferences,
  bind,
  map_objects,
)
from vosjax.models.execution import with_execution
from vosjax.models.modules.norm import fold
from vosjax.models.unroll import Recurrence, decide
from vosjax.ops.masks import soft_aggregate
from vosjax.types import Active, AnyArray, Masks, Variables

# What `advance` returns.
Advanced = tuple[
  State,
  Shaped[Array, "b h w"],
  Float[Array, "b o h w"],
  Bool[Array, "b o"],
  Float[Array, "b o e"],
]


def prepare(
  model: nn.Module, variables: Variables, *, backend: str | None = None
) -> tuple[nn.Module, Variables]:
  """Returns the model and its variables in the form that is fastest on a backend.

  BatchNorm is folded into the convolutions, and weights are converted to the model's
  dtype where they are used in no other. On CPU, Winograd kernels are added to wide
  convolutions, and decoders that take one object after another are unrolled.

  Args:
    model: from `vosjax.models.build`.
    variables: of the model.
    backend: "cpu", "gpu", ..; None: the one that JAX uses. What is prepared for another
      backend than "cpu" runs on all.
  """
  cpu = (backend or jax.default_backend()) == "cpu"
  options = {"folded": True, "stop_early": model.readout.stops_at_first_empty}
  if cpu:  # a quarter faster than a loop over objects
    options["unroll_objects"] = True
  model = with_execution(model, **options)
  return model, cast_weights(model, _fold(variables, winograd=cpu))


_fold = jax.jit(fold, static_argnames="winograd")


@compilation.jit(static_argnums=0)
def encode(
  model: nn.Module, variables: Variables, frames: UInt8[AnyArray, "b h w 3"]
) -> Features:
  """Computes the features of one frame of each video, which all objects share.

  Args:
    model: from `prepare`.
    variables: from `prepare`.
    frames: RGB of any size.
  """
  return bind(model, variables).encode(_framed_frames(model, frames))


@compilation.jit(static_argnums=0)
def frame_together(
  model: nn.Module, frames: UInt8[AnyArray, "t h w 3"]
) -> Float[Array, "t framed_h framed_w 3"]:
  """Brings several frames of one video to the form that `encode_together` takes.

  A program of its own, so that all sizes that are framed alike share the encoder.

  Args:
    model: from `prepare`.
    frames: RGB of any size.
  """
  return _framed_frames(model, frames)


@compilation.jit(static_argnums=0)
def encode_together(
  model: nn.Module,
  variables: Variables,
  frames: Float[AnyArray, "t framed_h framed_w 3"],
) -> tuple[Features, ...]:
  """Computes the features of several frames of one video as one batch.

  Args:
    model: from `prepare`.
    variables: from `prepare`.
    frames: from `frame_together`.

  Returns:
    For each frame, what `encode` returns for it alone.
  """
  features = bind(model, variables).encode(jnp.asarray(frames))
  return tuple(
    jax.tree.map(lambda x, t=t: x[t : t + 1], features) for t in range(len(frames))
  )


def encode_frames(
  model: nn.Module, variables: Variables, frames: UInt8[AnyArray, "t h w 3"]
) -> tuple[Features, ...]:
  """`frame_together`, then `encode_together`."""
  return encode_together(model, variables, frame_together(model, frames))


@compilation.jit(static_argnums=(0, 1), donate_argnums=3)
def init_slots(
  model: nn.Module,
  original_size: tuple[int, int],
  variables: Variables,
  state: State,
  features: Features,
  slot_labels: Int[AnyArray, "b h w"] | None,
  new: Bool[AnyArray, "b o"],
  corrected: Bool[AnyArray, "b o"] | None = None,
) -> State:
  """Initialises or corrects slots from this frame and leaves the others unchanged.

  The result is the state after this frame; for models that keep slots and for zero-shot
  models, it is the state before this frame.

  Args:
    model: from `prepare`.
    original_size: (height, width) of the frame, before framing.
    variables: from `prepare`.
    state: None at the start of a video; donated.
    features: of the frame.
    slot_labels: 0 is background, i is slot i - 1; None for zero-shot models.
    new: the slots to initialise.
    corrected: the slots to correct, in a video in progress whose latest frame this is.
      Given whenever there is a state, so that both uses are one program.

  Returns:
    The new state.
  """
  masks = None
  if slot_labels is not None:
    masks = _framed_masks(model, original_size, slot_labels, new.shape[1])
  network = bind(model, variables)
  if isinstance(network, KeepsSlots):
    initial = network.begin(features, masks)
  else:
    initial = network.init_state(features, masks)
  if state is None:
    return initial

  def choose(slots: Bool[AnyArray, "b o"], old: Array, fresh: Array) -> Array:
    return jnp.where(slots.reshape(slots.shape + (1,) * (old.ndim - 2)), fresh, old)

  state = map_objects(functools.partial(choose, new), state, initial)
  if corrected is None:
    return state
  if isinstance(network, TakesCorrections):
    assert masks is not None, "only one-shot models are corrected"
    return network.correct(state, initial, masks, jnp.asarray(corrected))
  return map_objects(functools.partial(choose, corrected), state, initial)


def add_slots(model: nn.Module, state: State, extra: int) -> State:
  """Appends `extra` unused slots to the state."""
  # A slot of a model that keeps slots begins with an all-zero recurrent state. In other
  # models, whose unused slots are computed as well, zero variances of A-GAME's
  # Gaussians would give infinities.
  filler = 0 if isinstance(model, KeepsSlots) else 1

  def pad(old: Array) -> Array:
    pads = ((0, 0), (0, extra)) + ((0, 0),) * (old.ndim - 2)
    return jnp.pad(old, pads, constant_values=filler)

  return map_objects(pad, state)


@compilation.jit(static_argnums=(0, 1), donate_argnums=3)
def insert(
  model: nn.Module,
  original_size: tuple[int, int],
  variables: Variables,
  state: State,
  slot_labels: Int[AnyArray, "b h w"],
  new: Bool[AnyArray, "b o"],
) -> State:
  """Sets the masks of the slots `new`; only for models that keep slots.

  Args:
    model: from `prepare`.
    original_size: (height, width) of the frame, before framing.
    variables: from `prepare`.
    state: donated.
    slot_labels: 0 is background, i is slot i - 1.
    new: the slots whose masks are set.

  Returns:
    The new state.
  """
  network = bind(model, variables)
  assert isinstance(network, KeepsSlots)
  masks = _framed_masks(model, original_size, slot_labels, new.shape[1])
  return network.insert(state, masks, new)


@compilation.jit(static_argnums=0, donate_argnums=2)
def remember(
  model: nn.Module,
  variables: Variables,
  state: State,
  features: Features,
  place: Int[AnyArray, ""],
) -> State:
  """Makes a frame a reference; only for models that take references.

  Args:
    model: from `prepare`.
    variables: from `prepare`.
    state: donated.
    features: of the frame.
    place: of the reference that it replaces.

  Returns:
    The new state.
  """
  network = bind(model, variables)
  assert isinstance(network, TakesReferences)
  return network.remember(state, features, place)


@compilation.jit(static_argnums=(0, 1, 2), donate_argnums=4)
def advance(
  model: nn.Module,
  original_size: tuple[int, int],
  recurrence: Recurrence,
  variables: Variables,
  state: State,
  features: Features,
  active: Active,
  rank: Int[AnyArray, "b o"] | None = None,
) -> Advanced:
  """Segments one frame and updates the state with the result.

  Args:
    model: from `prepare`.
    original_size: (height, width) of the frame, before framing.
    recurrence: which masks update the state.
    variables: from `prepare`.
    state: donated.
    features: of the frame.
    active: slots that are in use.
    rank: decides which slot wins an overlap, see `painting.paint`.

  Returns:
    The new state; and, at the original size, labels in terms of slots (0 is background,
    i is slot i - 1; as bytes if they fit) and probabilities of the slots; which slots
    are present; and what speaks for them, see `confidence.evidence`.
  """
  network, readout = bind(model, variables), model.readout
  restore = model.framing(original_size).restore
  state, prediction = network.segment(state, features, active)
  if readout.threshold is None:  # objects compete for every pixel
    probs = soft_aggregate(prediction.logits, jnp.asarray(active))
    framed: Masks = probs[:, 1:]  # what `decide` would compute again if "aggregated"
    decided = framed
    if recurrence != "aggregated":
      decided = decide(prediction, active, recurrence)
    state = network.update(state, features, decided)
    probs = restore(probs)
    labels, probs, present = probs.argmax(1), probs[:, 1:], jnp.asarray(active)
  else:
    framed = jax.nn.sigmoid(prediction.logits)
    state = network.update(state, features, framed)
    probs = restore(framed)
    masks = probs > readout.threshold
    present = painting.find_objects(readout, prediction, masks, active)
    labels = painting.paint(masks, present, rank)
  evidence = confidence.evidence(prediction, framed, probs, labels)
  if probs.shape[1] < 256:
    labels = labels.astype(jnp.uint8)
  return state, labels, probs, present, evidence


@compilation.jit(static_argnums=(0, 1), donate_argnums=3)
def step(
  model: nn.Module,
  recurrence: Recurrence,
  variables: Variables,
  state: State,
  frames: UInt8[AnyArray, "b h w 3"],
  active: Active,
  rank: Int[AnyArray, "b o"] | None = None,
) -> tuple[Features, Advanced]:
  """Does what a frame of a stream needs in one program: `encode` and `advance`.

  Args:
    model: from `prepare`.
    recurrence: which masks update the state.
    variables: from `prepare`.
    state: donated.
    frames: RGB of any size.
    active: slots that are in use.
    rank: see `advance`.

  Returns:
    The features, the same bits as those of `encode`; and what `advance` returns.
  """
  size = (frames.shape[1], frames.shape[2])
  # The barrier keeps the compiler from fusing both parts, which might round features in
  # another way. They leave the program in any case, so little could be gained.
  features = jax.lax.optimization_barrier(encode.__wrapped__(model, variables, frames))
  return features, advance.__wrapped__(
    model, size, recurrence, variables, state, features, active, rank
  )


def _framed_frames(
  model: nn.Module, frames: UInt8[AnyArray, "b h w 3"]
) -> Float[Array, "b framed_h framed_w 3"]:
  """Frames as the network takes them: in [0, 1], at the framed size."""
  return model.framing(frames.shape[1:3]).frames(frames.astype(jnp.float32) / 255)


def _framed_masks(
  model: nn.Module,
  original_size: tuple[int, int],
  slot_labels: Int[AnyArray, "b h w"],
  num_slots: int,
) -> Float[Array, "b o framed_h framed_w"]:
  """Mask of every slot, at the framed size."""
  slots = jnp.arange(1, num_slots + 1)[None, :, None, None]
  masks = (slot_labels[:, None] == slots).astype(jnp.float32)
  return model.framing(original_size).masks(masks)
