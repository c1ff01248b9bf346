"""The protocol of every model: one pure step over explicit state.

Training scans the step (`unroll`), inference calls it (`inference.engine`), so
that there is no second implementation of anything.
"""

from typing import Any, Protocol

from vosjax.types import Active, Frames, Masks, Prediction

Features = Any  # a flax.struct dataclass of the model's own
State = Any  # likewise; every leaf that belongs to objects begins with `b o`


class VosModel(Protocol):
  """What `unroll` and the inference engine need of a model."""

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
