"""The programs of one video, as functions of arrays.

They are what `VideoSegmenter.start`, `step`, `add` and `correct` compute, for a fixed
frame size and number of slots. Everything that a session keeps on the host is part of
the state.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Integer, UInt8

from vosjax.inference import programs
from vosjax.inference.references import StreamReferences
from vosjax.labels import VOID
from vosjax.models.api import Features, KeepsSlots, State, TakesReferences
from vosjax.models.unroll import Recurrence
from vosjax.types import Active, AnyArray, Variables, record

_STREAM = 100_000  # frames of a stream after which its references no longer change


@record
class VideoState:
  """What is kept from one frame to the next.

  Attributes:
    model: the model's state.
    active: slots in use.
    labels: of the latest frame, in terms of slots, for one-shot models: where objects
      remain in void pixels of a correction.
    rank: which slot wins an overlap, for one-shot models whose objects do not compete.
    features: of the latest frame, and
    count: of the frames so far, for models that take references.
  """

  model: State
  active: Active
  labels: UInt8[Array, "h w"] | None = None
  rank: Int[Array, "1 o"] | None = None
  features: Features = None
  count: Int[Array, ""] | None = None


@dataclasses.dataclass(frozen=True)
class VideoPrograms:
  """The programs of a model, as functions of arrays.

  Attributes:
    model: from `programs.prepare`.
    size: (height, width) of the frames.
    num_slots: slots of objects.
    recurrence: which masks update the state.
  """

  model: nn.Module
  size: tuple[int, int]
  num_slots: int
  recurrence: Recurrence

  def begin(
    self, variables: Variables, frame: AnyArray, labels: AnyArray | None = None
  ) -> Any:
    """Segments the first frame.

    Args:
      variables: from `programs.prepare`.
      frame: uint8 RGB [h w 3].
      labels: slots [h w], 0 is background; None for zero-shot models.

    Returns:
      The state, and what `step` returns besides it.
    """
    features = self._encode(variables, frame)
    slots, active = None, jnp.ones((1, self.num_slots), bool)
    if labels is not None:
      slots = _clean(labels, self.num_slots)
      active = self._shown(slots)
    state = VideoState(
      _raw(programs.init_slots)(
        self.model, self.size, variables, None, features, slots, active
      ),
      active,
    )
    if isinstance(self.model, TakesReferences):
      state = dataclasses.replace(
        state, features=features, count=jnp.ones((), jnp.int32)
      )
    if slots is None:
      return self._advance(variables, state, features)
    if isinstance(self.model, KeepsSlots):
      state, _, probs, present = self._advance(variables, state, features)
      rank = _rank(probs > self.model.readout.threshold, present, self._masks(slots)[0])
      kept = _raw(programs.insert)(
        self.model, self.size, variables, state.model, slots, jnp.ones_like(active)
      )
      state = dataclasses.replace(state, model=kept, rank=rank[None])
    given = self._masks(slots)[0].astype(jnp.float32)
    shown = slots[0].astype(jnp.uint8)
    return dataclasses.replace(state, labels=shown), shown, given, active[0]

  def step(self, variables: Variables, state: VideoState, frame: AnyArray) -> Any:
    """Segments the next frame.

    Returns:
      The new state; labels in terms of slots [h w] uint8; the slots' probabilities
      [o h w]; and which slots are present [o].
    """
    features = self._encode(variables, frame)
    if state.count is not None:
      new = self._remember(variables, state)
      state = dataclasses.replace(
        state, model=new, features=features, count=state.count + 1
      )
    return self._advance(variables, state, features)

  def add(
    self, variables: Variables, state: VideoState, frame: AnyArray, labels: AnyArray
  ) -> tuple[VideoState]:
    """Adds the objects that labels [h w] of the latest frame show in slots."""
    slots = _clean(labels, self.num_slots)
    shown = self._shown(slots)
    new = self._set(variables, state, frame, slots, shown, jnp.zeros_like(shown))
    state = dataclasses.replace(state, model=new, active=state.active | shown)
    return (_give(state, slots, shown),)

  def correct(
    self, variables: Variables, state: VideoState, frame: AnyArray, labels: AnyArray
  ) -> tuple[VideoState]:
    """Corrects the tracked objects that labels [h w] of the latest frame show.

    Where the labels are void, these objects remain as they were segmented.
    """
    slots = _clean(labels, self.num_slots)
    shown = self._shown(slots) & state.active
    assert state.labels is not None
    remain = (labels == VOID) & _lies_in(shown, state.labels)
    slots = jnp.where(remain, state.labels, slots)
    if isinstance(self.model, KeepsSlots):
      new = _raw(programs.insert)(
        self.model, self.size, variables, state.model, slots, shown
      )
    else:
      new = self._set(variables, state, frame, slots, jnp.zeros_like(shown), shown)
    return (_give(dataclasses.replace(state, model=new), slots, shown),)

  def _set(
    self,
    variables: Variables,
    state: VideoState,
    frame: AnyArray,
    slots: AnyArray,
    new: Active,
    corrected: Active,
  ) -> State:
    """The model's state with slots that are new or corrected in the latest frame."""
    features = self._encode(variables, frame)
    return _raw(programs.init_slots)(
      self.model,
      self.size,
      variables,
      state.model,
      features,
      slots,
      new,
      corrected,
    )

  def _encode(self, variables: Variables, frame: AnyArray) -> Features:
    return _raw(programs.encode)(self.model, variables, frame[None])

  def _advance(
    self, variables: Variables, state: VideoState, features: Features
  ) -> Any:
    new, labels, probs, present, _ = _raw(programs.advance)(
      self.model,
      self.size,
      self.recurrence,
      variables,
      state.model,
      features,
      state.active,
      state.rank,
    )
    labels = labels[0].astype(jnp.uint8)
    state = dataclasses.replace(state, model=new)
    if self.model.readout.one_shot:
      state = dataclasses.replace(state, labels=labels)
    return state, labels, probs[0], present[0]

  def _masks(self, slots: AnyArray) -> Bool[Array, "1 o h w"]:
    return slots[:, None] == jnp.arange(1, self.num_slots + 1)[None, :, None, None]

  def _shown(self, slots: AnyArray) -> Bool[Array, "1 o"]:
    return self._masks(slots).any((2, 3))

  def _remember(self, variables: Variables, state: VideoState) -> State:
    """The model's state after the previous frame has become a reference, or not.

    Which frames do, and in which place, depends on nothing but their number.
    """
    assert state.count is not None
    stream = StreamReferences("uniform", self.model.num_references)
    places = [stream.add_frame() for _ in range(_STREAM)]
    chosen = [(t, place) for t, place in enumerate(places) if place is not None]
    if not chosen:
      return state.model
    times, in_places = (jnp.asarray(x, jnp.int32) for x in zip(*chosen))
    hit = times == state.count - 1
    place = jnp.where(hit, in_places, 0).sum()
    new = _raw(programs.remember)(
      self.model, variables, state.model, state.features, place
    )
    return jax.tree.map(lambda a, b: jnp.where(hit.any(), a, b), new, state.model)


def _raw(program: Any) -> Callable[..., Any]:
  """The function of a program, which is compiled as a part of another one here."""
  return program.__wrapped__


def _clean(labels: AnyArray, num_slots: int) -> Int[Array, "1 h w"]:
  """Slots [1 h w]; void and numbers beyond the slots become background."""
  return jnp.where((labels >= 0) & (labels <= num_slots), labels, 0)[None]


def _lies_in(chosen: Active, labels: Integer[Array, "h w"]) -> Bool[Array, "h w"]:
  """Which pixels of labels belong to a chosen slot."""
  return jnp.pad(chosen[0], (1, 0))[labels]


def _give(state: VideoState, slots: Int[Array, "1 h w"], given: Active) -> VideoState:
  """The state with given slots as they are shown, and all others where they were."""
  assert state.labels is not None
  kept = jnp.where(_lies_in(given, state.labels), 0, state.labels)
  labels = jnp.where(_lies_in(given, slots[0]), slots[0], kept)
  return dataclasses.replace(state, labels=labels.astype(jnp.uint8))


def _rank(
  predicted: Bool[Array, "o h w"],
  present: Bool[Array, " o"],
  given: Bool[Array, "o h w"],
) -> Int[Array, " o"]:
  """Rank of each slot by how well it is predicted, see `painting.Ranking`."""
  both, either = (predicted & given).sum((1, 2)), (predicted | given).sum((1, 2))
  overlap: Float[Array, " o"] = jnp.where(either > 0, both / jnp.maximum(either, 1), 1)
  key = jnp.where(present, overlap, -1.0)
  order = jnp.lexsort((-jnp.arange(len(key)), key))
  return jnp.argsort(order).astype(jnp.int32)
