"""The protocol of every model: one pure step over explicit state.

Training scans the step (`unroll`) and inference calls it (`inference.programs`), so
that nothing is implemented twice.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import flax.linen as nn
import jax

from vosjax.types import Active, Frames, Masks, Prediction, Variables, record

Features = Any  # the model's own flax.struct dataclass
State = Any  # likewise; leaves have the leading axes [b o], except within Shared


@record
class Shared:
  """A part of a state that does not belong to one object but to the whole video.

  Objects that are added to a video take it over as it is.

  Attributes:
    value: arrays with the leading axis [b].
  """

  value: Any


def map_objects(function: Callable[..., Any], state: State, *others: State) -> State:
  """Applies a function to each array [b o ...] of a state, as `jax.tree.map` does.

  Args:
    function: (array of `state`, the same array of each of `others`) -> new array.
    state: parts of it that are `Shared` are taken over as they are.
    *others: states of the same structure; their `Shared` parts are ignored.
  """

  def apply(leaf: Any, *rest: Any) -> Any:
    return leaf if isinstance(leaf, Shared) else function(leaf, *rest)

  return jax.tree.map(
    apply, state, *others, is_leaf=lambda node: isinstance(node, Shared)
  )


@dataclasses.dataclass(frozen=True)
class Readout:
  """How a model's slots become objects; known before anything is traced.

  Attributes:
    one_shot: objects are given by masks; otherwise the model finds them itself.
    num_slots: smallest number of slots that are decoded; None: as many as there are
      objects.
    threshold: objects are independent: each consists of the pixels whose probability
      is higher, and overlaps are resolved by painting. None: objects compete for
      every pixel by soft aggregation.
    score: name in `Prediction.aux` of logits [b o] that are non-negative where a slot
      holds an object; None: every slot does.
    stops_at_first_empty: slots after the first one without an object are ignored.
    min_share: objects smaller than this fraction of the frame are dropped.
  """

  one_shot: bool
  num_slots: int | None = None
  threshold: float | None = None
  score: str | None = None
  stops_at_first_empty: bool = False
  min_share: float = 0.0


@runtime_checkable
class Framing(Protocol):
  """How frames of one size become frames that the network accepts, and back.

  Frames come in their original size and have the framed size within the network.
  `PadToMultiple` and `EnlargeAndPad` of `vosjax.ops.resize`, and
  `vosjax.ops.antialias.ResizeTo`, are framings.
  """

  def frames(self, x: Frames) -> Frames:
    """Brings frames to the framed size."""
    ...

  def masks(self, x: Masks) -> Masks:
    """Brings masks to the framed size."""
    ...

  def restore(self, x: Masks) -> Masks:
    """Brings probabilities back to the original size."""
    ...


@runtime_checkable
class VosModel(Protocol):
  """What `unroll` and the inference engine require of a model.

  All frames and masks that its methods take, and all predictions, have the framed size:
  `unroll` takes frames that fit, and inference calls `framing`.
  """

  @property
  def readout(self) -> Readout:
    """How its slots become objects."""
    ...

  def framing(self, original_size: tuple[int, int]) -> Framing:
    """How frames of this (height, width) are made to fit."""
    ...

  def encode(self, frames: Frames, *, steps: int = 1, train: bool = False) -> Features:
    """Computes what all objects of a frame share, once per frame.

    Args:
      frames: RGB in [0, 1]; the model normalises internally.
      steps: with `steps > 1` the batch axis holds whole clips, `(b t)`, and batch
        statistics are computed separately for each time step, as if the frames came
        one by one.
      train: use batch statistics in the trained layers.
    """
    ...

  def init_state(self, features: Features, masks: Masks | None) -> State:
    """State after the first frame, whose masks are given.

    Zero-shot models take None and return the state before the first frame.
    """
    ...

  def segment(
    self, state: State, features: Features, active: Active
  ) -> tuple[State, Prediction]:
    """Segments one frame. Outputs of inactive slots are undefined."""
    ...

  def update(self, state: State, features: Features, probs: Masks) -> State:
    """Updates the state with what was decided for the frame.

    Args:
      state: as `segment` returned it.
      features: of the same frame.
      probs: object probabilities, at the framed size or that of the features.
    """
    ...


def bind(model: nn.Module, variables: Variables) -> VosModel:
  """Returns the model with its variables, so that its methods can be called.

  `bind(model, variables).encode(frames)` is `model.apply(variables, frames,
  method="encode")`, for methods that change no variables. Within a transformed
  function, such as a step of a scan, the model has to be bound there.
  """
  bound: Any = model.bind(variables)
  return bound


@runtime_checkable
class KeepsSlots(Protocol):
  """A model whose slots exist before their objects do (RVOS, one-shot or zero-shot).

  `insert` is for one-shot models only. Object k belongs in slot k - 1, because
  the model sees which slots are empty.
  """

  def begin(self, features: Features, masks: Masks | None) -> State:
    """State before the first frame, which is then segmented like any other."""
    ...

  def insert(self, state: State, masks: Masks, new: Active) -> State:
    """Sets the masks of the slots `new` for the frame that is segmented next."""
    ...


@runtime_checkable
class TakesCorrections(Protocol):
  """A one-shot model that has its own way of correcting objects (A-GAME)."""

  def correct(
    self, state: State, fresh: State, masks: Masks, corrected: Active
  ) -> State:
    """Corrects objects in the latest frame.

    Args:
      state: after that frame.
      fresh: of `init_state` with that frame and these masks.
      masks: the right ones of the corrected objects, empty where one is not in the
        frame; those of others are undefined.
      corrected: which objects are corrected.
    """
    ...


@runtime_checkable
class TakesReferences(Protocol):
  """A model that compares each frame with other frames of the video (COSNet)."""

  num_references: int

  def remember(self, state: State, features: Features, place: Any) -> State:
    """Makes a frame the reference in this place, instead of the one there."""
    ...
