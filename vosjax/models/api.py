"""The protocol of every model: one pure step over explicit state.

Training scans the step (`unroll`), inference calls it (`inference.engine`), so
that there is no second implementation of anything.
"""

import dataclasses
from typing import Any, Protocol, runtime_checkable

from vosjax.types import Active, Frames, Masks, Prediction

Features = Any  # a flax.struct dataclass of the model's own
State = Any  # likewise; every leaf that belongs to objects begins with `b o`


@dataclasses.dataclass(frozen=True)
class Readout:
  """How the slots of a model become objects; known before anything is traced.

  Attributes:
    one_shot: objects are given by masks; otherwise the model finds them by itself.
    num_slots: that are decoded at least; None: as many as there are objects.
    threshold: each object is judged by itself, pixels of a higher probability are
      its own, and overlaps are painted. None: objects compete for every pixel by
      soft aggregation.
    score: name in `Prediction.aux` of logits [b o], not negative where a slot holds
      an object; None: all slots do.
    ends: no slot counts after the first that holds none.
    min_share: smaller objects are dropped; a fraction of the frame's pixels.
  """

  one_shot: bool
  num_slots: int | None = None
  threshold: float | None = None
  score: str | None = None
  ends: bool = False
  min_share: float = 0.0


class VosModel(Protocol):
  """What `unroll` and the inference engine need of a model."""

  @property
  def readout(self) -> Readout:
    """How its slots become objects."""
    ...

  def encode(self, frames: Frames, *, steps: int = 1, train: bool = False) -> Features:
    """Computes once per frame what all objects share.

    Args:
      frames: RGB in [0, 1]; the model normalises inside.
      steps: with `steps > 1` the batch axis holds whole clips, `(b t)`, and batch
        statistics are taken for each time step apart, as if frames came one by one.
      train: use batch statistics in the layers that are trained.
    """
    ...

  def init_state(self, features: Features, masks: Masks | None) -> State:
    """State after the reference frame; `masks` is None for zero-shot models."""
    ...

  def segment(
    self, state: State, features: Features, active: Active
  ) -> tuple[State, Prediction]:
    """Segments one frame. Slots that are not active give what they like."""
    ...

  def update(self, state: State, features: Features, probs: Masks) -> State:
    """Takes in what was decided for the frame.

    Args:
      state: as `segment` left it.
      features: of the same frame.
      probs: object probabilities, at the size of the frame or of the features.
    """
    ...


@runtime_checkable
class KeepsSlots(Protocol):
  """A one-shot model whose slots live before their objects do (RVOS).

  Object k belongs in slot k - 1: the model sees which slots are empty.
  """

  def begin(self, features: Features, masks: Masks | None) -> State:
    """State before the first frame."""
    ...

  def insert(self, state: State, masks: Masks, new: Active) -> State:
    """Gives the slots `new` a mask of the frame that is segmented next."""
    ...


@runtime_checkable
class TakesReferences(Protocol):
  """A model that sees other frames beside the one that it segments (COSNet)."""

  num_references: int

  def remember(self, state: State, features: Features, slot: Any) -> State:
    """Puts a frame in the place of reference number `slot`."""
    ...
