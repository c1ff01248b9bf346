"""The three compiled programs of inference, over batches of videos.

A program is compiled once per model, frame size and number of slots, and shared by
all segmenters of the process.
"""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, UInt8

from vosjax.models import decide, fold
from vosjax.models.api import Features, State
from vosjax.models.unroll import Recurrence
from vosjax.ops.masks import soft_aggregate
from vosjax.types import Active, AnyArray, Variables


def prepare(model: nn.Module, variables: Variables) -> tuple[nn.Module, Variables]:
  """The model and its variables in the form that is fastest here."""
  winograd = jax.default_backend() == "cpu"
  return model.clone(folded=True), _fold(variables, winograd)


_fold = jax.jit(
    lambda variables, winograd: fold(variables, winograd=winograd), static_argnums=1
)


def _jit(**options: Any) -> Any:
  """`jax.jit` with the compiler options of the backend that is in use at the call."""

  def wrap(function):
    @functools.cache
    def compiled(backend):
      # XLA's fused CPU kernels are about 15 % slower here than its plain ones.
      fusion = {"xla_cpu_experimental_ynn_fusion_type": ""}
      extra = {"compiler_options": fusion} if backend == "cpu" else {}
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
  framing = model.framing(frames.shape[1:3])
  frames = framing.frames(frames.astype(jnp.float32) / 255)
  return model.apply(variables, frames, method="encode")


@_jit(static_argnums=(0, 1), donate_argnums=3)
def begin(
    model: nn.Module,
    size: tuple[int, int],
    variables: Variables,
    state: State,
    features: Features,
    slot_labels: Int[AnyArray, "b h w"],
    new: Bool[AnyArray, "b o"],
) -> State:
  """State in which the slots `new` are fitted to this frame, others as they were.

  Args:
    model: as `prepare` made it.
    size: of the frame, before framing.
    variables: as `prepare` made them.
    state: None at the start of a video.
    features: of the frame.
    slot_labels: 0 = none, i = slot i - 1.
    new: the slots that begin here.
  """
  slots = jnp.arange(1, new.shape[1] + 1)[None, :, None, None]
  masks = (slot_labels[:, None] == slots).astype(jnp.float32)
  masks = model.framing(size).masks(masks)
  fresh = model.apply(variables, features, masks, method="init_state")
  if state is None:
    return fresh
  return jax.tree.map(
      lambda a, b: jnp.where(new.reshape(new.shape + (1,) * (a.ndim - 2)), a, b),
      fresh,
      state,
  )


@_jit(static_argnums=(0, 1, 2), donate_argnums=4)
def advance(
    model: nn.Module,
    size: tuple[int, int],
    recurrence: Recurrence,
    variables: Variables,
    state: State,
    features: Features,
    active: Active,
) -> tuple[State, Int[Array, "b h w"], Float[Array, "b o h w"]]:
  """One frame: new state, label map of slots, object probabilities."""
  state, prediction = model.apply(
      variables, state, features, active, method="segment"
  )
  probs = soft_aggregate(prediction.logits, active)
  own = recurrence != "aggregated"
  update = decide(prediction, active, recurrence) if own else probs[:, 1:]
  state = model.apply(variables, state, features, update, method="update")
  probs = model.framing(size).restore(probs)
  return state, probs.argmax(1), probs[:, 1:]
