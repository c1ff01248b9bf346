"""The compiled programs of inference, over batches of videos.

A program is compiled once per model, frame size and number of slots, and all
segmenters of a process share it.
"""

import functools
from collections.abc import Iterator, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt8

from vosjax.inference import painting
from vosjax.models import decide, fold, with_execution
from vosjax.models.api import Features, KeepsSlots, Readout, Shared, State
from vosjax.models.unroll import Recurrence
from vosjax.ops.masks import soft_aggregate
from vosjax.types import Active, AnyArray, Masks, Variables


def prepare(model: nn.Module, variables: Variables) -> tuple[nn.Module, Variables]:
  """Returns the model and its variables in the form that is fastest on this backend.

  BatchNorm is folded into the convolutions.
  """
  cpu = jax.default_backend() == "cpu"
  options = {"folded": True, "stop_early": model.readout.ends}
  if cpu:  # a quarter faster than a loop over objects
    options["unroll_objects"] = True
  return with_execution(model, **options), _fold(variables, cpu)


def _call(model: nn.Module, method: str, variables: Variables, *args: Any) -> Any:
  """Calls a method of a model that does not change its variables."""
  return model.apply(variables, *args, method=method)


_fold = jax.jit(
  lambda variables, winograd: fold(variables, winograd=winograd), static_argnums=1
)


@functools.cache
def _compiler_options(backend: str) -> dict[str, Any]:
  """XLA options that speed up programs on a backend.

  On CPU, XLA's experimental fused kernels are about 15 % slower than the plain ones.
  """
  if backend == "cpu":
    return supported_options({"xla_cpu_experimental_ynn_fusion_type": ""})
  return {}


def supported_options(options: dict[str, Any]) -> dict[str, Any]:
  """Returns the options if the compiler supports them, else none: XLA drops some."""
  try:
    jax.jit(lambda x: x, compiler_options=options).lower(jnp.float32(0)).compile()
  except (jax.errors.JaxRuntimeError, ValueError):
    return {}
  return options


def _jit(**options: Any) -> Any:
  """`jax.jit` with the compiler options of whichever backend the call runs on."""

  def wrap(function):
    @functools.cache
    def compiled(backend):
      extra = _compiler_options(backend) or None
      return jax.jit(function, compiler_options=extra, **options)

    @functools.wraps(function)
    def call(*args):
      return compiled(jax.default_backend())(*args)

    return call

  return wrap


@_jit(static_argnums=0)
def encode(
  model: nn.Module, variables: Variables, frames: UInt8[AnyArray, "b h w 3"]
) -> Features:
  """Computes the features of frames of any size, which all objects share."""
  return _encode(model, variables, frames)


def _encode(
  model: nn.Module, variables: Variables, frames: UInt8[AnyArray, "b h w 3"]
) -> Features:
  framing = model.framing(frames.shape[1:3])
  frames = framing.frames(frames.astype(jnp.float32) / 255)
  return _call(model, "encode", variables, frames)


def encode_each(
  model: nn.Module,
  variables: Variables,
  frames: Sequence[UInt8[AnyArray, "h w 3"]],
  batch_size: int,
) -> Iterator[Features]:
  """Encodes frames in batches and yields the features of each.

  The last batch is padded with its last frame, so that only one size is compiled.
  """
  for start in range(0, len(frames), batch_size):
    batch = list(frames[start : start + batch_size])
    padded = batch + batch[-1:] * (batch_size - len(batch))
    encoded = _encode_apart(model, variables, np.stack(padded))
    yield from encoded[: len(batch)]


def choose_batch_size(num_frames: int) -> int:
  """Chooses how many frames of a video to encode in one batch.

  On CPU, batches of two are a sixth faster than single frames if the network is small
  (RVOS with 16 channels at 96x160: 1.9 instead of 2.2 ms per frame) and no slower if it
  is large. The eight of other backends have not been tuned.
  """
  return min(num_frames, 2 if jax.default_backend() == "cpu" else 8)


@_jit(static_argnums=0)
def _encode_apart(
  model: nn.Module, variables: Variables, frames: UInt8[AnyArray, "b h w 3"]
) -> tuple[Features, ...]:
  """Encodes a batch of frames and separates their features."""
  features = _encode(model, variables, frames)
  return tuple(
    jax.tree.map(lambda x, i=i: x[i : i + 1], features) for i in range(len(frames))
  )


@_jit(static_argnums=(0, 1), donate_argnums=3)
def init_slots(
  model: nn.Module,
  size: tuple[int, int],
  variables: Variables,
  state: State,
  features: Features,
  slot_labels: Int[AnyArray, "b h w"] | None,
  new: Bool[AnyArray, "b o"],
) -> State:
  """Initialises the slots `new` from this frame and leaves the others unchanged.

  The result is the state after this frame; for models that keep slots and for zero-shot
  models, it is the state before this frame.

  Args:
    model: from `prepare`.
    size: (height, width) of the frame, before framing.
    variables: from `prepare`.
    state: None at the start of a video; donated.
    features: of the frame.
    slot_labels: 0 is background, i is slot i - 1; None for zero-shot models.
    new: the slots to initialise.

  Returns:
    The new state.
  """
  masks = None
  if slot_labels is not None:
    masks = _slot_masks(model, size, slot_labels, new.shape[1])
  method = "begin" if isinstance(model, KeepsSlots) else "init_state"
  fresh = _call(model, method, variables, features, masks)
  if state is None:
    return fresh

  def choose(fresh: Any, old: Any) -> Any:
    if isinstance(old, Shared):
      return old
    return jnp.where(new.reshape(new.shape + (1,) * (old.ndim - 2)), fresh, old)

  return jax.tree.map(choose, fresh, state, is_leaf=_is_shared)


def _is_shared(node: Any) -> bool:
  return isinstance(node, Shared)


def _slot_masks(
  model: nn.Module,
  size: tuple[int, int],
  slot_labels: Int[AnyArray, "b h w"],
  num_slots: int,
) -> Float[Array, "b o padded_h padded_w"]:
  """Mask of every slot, framed for the model."""
  slots = jnp.arange(1, num_slots + 1)[None, :, None, None]
  masks = (slot_labels[:, None] == slots).astype(jnp.float32)
  return model.framing(size).masks(masks)


def add_slots(model: nn.Module, state: State, extra: int) -> State:
  """Appends `extra` unused slots to the state."""
  # A slot of a model that keeps slots begins with an all-zero recurrent state. In other
  # models, whose unused slots are computed as well, zero variances would give
  # infinities.
  filler = 0 if isinstance(model, KeepsSlots) else 1

  def pad(old: Any) -> Any:
    if isinstance(old, Shared):
      return old
    pads = ((0, 0), (0, extra)) + ((0, 0),) * (old.ndim - 2)
    return jnp.pad(old, pads, constant_values=filler)

  return jax.tree.map(pad, state, is_leaf=_is_shared)


@_jit(static_argnums=(0, 1), donate_argnums=3)
def insert(
  model: nn.Module,
  size: tuple[int, int],
  variables: Variables,
  state: State,
  slot_labels: Int[AnyArray, "b h w"],
  new: Bool[AnyArray, "b o"],
) -> State:
  """Sets the masks of the slots `new`; only for models that keep slots.

  Args:
    model: from `prepare`.
    size: (height, width) of the frame, before framing.
    variables: from `prepare`.
    state: donated.
    slot_labels: 0 is background, i is slot i - 1.
    new: the slots whose masks are set.

  Returns:
    The new state.
  """
  masks = _slot_masks(model, size, slot_labels, new.shape[1])
  return _call(model, "insert", variables, state, masks, new)


@_jit(static_argnums=0, donate_argnums=2)
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
    place: which of the references it replaces.

  Returns:
    The new state.
  """
  return _call(model, "remember", variables, state, features, place)


@_jit(static_argnums=(0, 1, 2), donate_argnums=4)
def advance(
  model: nn.Module,
  size: tuple[int, int],
  recurrence: Recurrence,
  variables: Variables,
  state: State,
  features: Features,
  active: Active,
  rank: Int[AnyArray, "b o"] | None = None,
) -> tuple[State, Int[Array, "b h w"], Float[Array, "b o h w"], Bool[AnyArray, "b o"]]:
  """Segments one frame and updates the state with the result.

  Args:
    model: from `prepare`.
    size: (height, width) of the frame, before framing.
    recurrence: which masks update the state.
    variables: from `prepare`.
    state: donated.
    features: of the frame.
    active: slots that are in use.
    rank: decides which slot wins an overlap, see `painting.paint`.

  Returns:
    The new state; labels in terms of slots (0 is background, i is slot i - 1);
    probabilities of the slots; and which slots are present.
  """
  state, prediction = _call(model, "segment", variables, state, features, active)
  readout: Readout = model.readout
  restore = model.framing(size).restore
  if readout.threshold is not None:
    probs = jax.nn.sigmoid(prediction.logits)
    state = _call(model, "update", variables, state, features, probs)
    probs = restore(probs)
    masks = probs > readout.threshold
    present = painting.find_objects(readout, prediction, masks, active)
    return state, painting.paint(masks, present, rank), probs, present
  probs = soft_aggregate(prediction.logits, jnp.asarray(active))
  update: Masks = probs[:, 1:]  # what `decide` would compute again if "aggregated"
  if recurrence != "aggregated":
    update = decide(prediction, active, recurrence)
  state = _call(model, "update", variables, state, features, update)
  probs = restore(probs)
  return state, probs.argmax(1), probs[:, 1:], active
