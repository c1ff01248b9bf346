"""The compiled programs of inference, over batches of videos.

A program is compiled once per model, frame size and number of slots, and shared by
all segmenters of the process.
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
from vosjax.models.api import Features, KeepsSlots, State
from vosjax.models.unroll import Recurrence
from vosjax.ops.masks import soft_aggregate
from vosjax.types import Active, AnyArray, Variables


def prepare(model: nn.Module, variables: Variables) -> tuple[nn.Module, Variables]:
  """The model and its variables in the form that is fastest here."""
  cpu = jax.default_backend() == "cpu"
  options = {"folded": True, "stop_early": model.readout.ends}
  if cpu:  # a quarter faster than a loop, see Execution
    options["unroll_objects"] = True
  return with_execution(model, **options), _fold(variables, cpu)


_fold = jax.jit(
  lambda variables, winograd: fold(variables, winograd=winograd), static_argnums=1
)


@functools.cache
def _cpu_options() -> dict[str, Any]:
  """XLA's fused CPU kernels are about 15 % slower here than its plain ones.

  The option is experimental: a compiler that does not know it goes without.
  """
  options = {"compiler_options": {"xla_cpu_experimental_ynn_fusion_type": ""}}
  try:
    jax.jit(lambda x: x, **options).lower(jnp.float32(0)).compile()
  except (jax.errors.JaxRuntimeError, ValueError):
    return {}
  return options


def _jit(**options: Any) -> Any:
  """`jax.jit` with the compiler options of the backend that is in use at the call."""

  def wrap(function):
    @functools.cache
    def compiled(backend):
      extra = _cpu_options() if backend == "cpu" else {}
      return jax.jit(function, **options, **extra)

    @functools.wraps(function)
    def call(*args):
      return compiled(jax.default_backend())(*args)

    return call

  return wrap


@_jit(static_argnums=0)
def encode(
  model: nn.Module, variables: Variables, frames: UInt8[AnyArray, "b h w 3"]
) -> Features:
  """What all objects share of a frame of any size."""
  return _encode(model, variables, frames)


def _encode(model, variables, frames):
  framing = model.framing(frames.shape[1:3])
  frames = framing.frames(frames.astype(jnp.float32) / 255)
  return model.apply(variables, frames, method="encode")


def encode_each(
  model: nn.Module,
  variables: Variables,
  frames: Sequence[UInt8[AnyArray, "h w 3"]],
  at_once: int,
) -> Iterator[Features]:
  """Features of each of some frames, `at_once` of which are encoded as one batch.

  The last batch is filled up with its last frame, so that a number is compiled once.
  """
  for start in range(0, len(frames), at_once):
    batch = list(frames[start : start + at_once])
    filled = batch + batch[-1:] * (at_once - len(batch))
    encoded = _encode_apart(model, variables, np.stack(filled))
    yield from encoded[: len(batch)]


def frames_at_once(count: int) -> int:
  """How many of `count` frames are best encoded as one batch.

  On CPU two take a sixth less time than one by one where a network is small (RVOS of
  16 channels at 96x160: 1.9 ms a frame for 2.2) and the same where it is large.
  Elsewhere eight, which nothing has measured yet.
  """
  return min(count, 2 if jax.default_backend() == "cpu" else 8)


@_jit(static_argnums=0)
def _encode_apart(model, variables, frames):
  features = _encode(model, variables, frames)
  return tuple(
    jax.tree.map(lambda x, i=i: x[i : i + 1], features) for i in range(len(frames))
  )


@_jit(static_argnums=(0, 1), donate_argnums=3)
def begin(
  model: nn.Module,
  size: tuple[int, int],
  variables: Variables,
  state: State,
  features: Features,
  slot_labels: Int[AnyArray, "b h w"] | None,
  new: Bool[AnyArray, "b o"],
) -> State:
  """State in which the slots `new` are fitted to this frame, others as they were.

  That of a model that keeps slots is the state before this frame.

  Args:
    model: as `prepare` made it.
    size: of the frame, before framing.
    variables: as `prepare` made them.
    state: None at the start of a video.
    features: of the frame.
    slot_labels: 0 = none, i = slot i - 1; None for zero-shot models.
    new: the slots that begin here.
  """
  masks = None
  if slot_labels is not None:
    masks = _split(model, size, slot_labels, new.shape[1])
  method = "begin" if isinstance(model, KeepsSlots) else "init_state"
  fresh = model.apply(variables, features, masks, method=method)
  if state is None:
    return fresh
  return jax.tree.map(
    lambda a, b: jnp.where(new.reshape(new.shape + (1,) * (a.ndim - 2)), a, b),
    fresh,
    state,
  )


def _split(model, size, slot_labels, num_slots):
  """Framed masks of all slots."""
  slots = jnp.arange(1, num_slots + 1)[None, :, None, None]
  masks = (slot_labels[:, None] == slots).astype(jnp.float32)
  return model.framing(size).masks(masks)


def add_slots(model: nn.Module, state: State, extra: int) -> State:
  """State with more slots, which nobody uses yet."""
  # A slot that lives before its object has gathered nothing. Elsewhere a variance of
  # 0 would make infinities.
  filler = 0 if isinstance(model, KeepsSlots) else 1
  return jax.tree.map(
    lambda x: jnp.pad(
      x, ((0, 0), (0, extra)) + ((0, 0),) * (x.ndim - 2), constant_values=filler
    ),
    state,
  )


@_jit(static_argnums=(0, 1), donate_argnums=3)
def insert(
  model: nn.Module,
  size: tuple[int, int],
  variables: Variables,
  state: State,
  slot_labels: Int[AnyArray, "b h w"],
  new: Bool[AnyArray, "b o"],
) -> State:
  """State in which the slots `new` have a mask; only of models that keep slots."""
  masks = _split(model, size, slot_labels, new.shape[1])
  return model.apply(variables, state, masks, new, method="insert")


@_jit(static_argnums=0, donate_argnums=2)
def remember(
  model: nn.Module,
  variables: Variables,
  state: State,
  features: Features,
  place: Int[AnyArray, ""],
) -> State:
  """State in which a frame is a reference; only of models that take them."""
  return model.apply(variables, state, features, place, method="remember")


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
  """One frame: new state, label map of slots, probabilities, who is there.

  Args:
    model: as `prepare` made it.
    size: of the frame, before framing.
    recurrence: what the state is updated with.
    variables: as `prepare` made them.
    state: given away.
    features: of the frame.
    active: slots that may count.
    rank: of slots in overlaps, see `painting.paint`.
  """
  state, prediction = model.apply(variables, state, features, active, method="segment")
  readout, restore = model.readout, model.framing(size).restore
  if readout.threshold is not None:
    probs = jax.nn.sigmoid(prediction.logits)
    state = model.apply(variables, state, features, probs, method="update")
    probs = restore(probs)
    masks = probs > readout.threshold
    present = painting.find_objects(readout, prediction, masks, active)
    return state, painting.paint(masks, present, rank), probs, present
  probs = soft_aggregate(prediction.logits, active)
  own = recurrence != "aggregated"
  update = decide(prediction, active, recurrence) if own else probs[:, 1:]
  state = model.apply(variables, state, features, update, method="update")
  probs = restore(probs)
  return state, probs.argmax(1), probs[:, 1:], active
