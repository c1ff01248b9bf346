"""What the engine says of one frame."""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from vosjax.types import AnyArray


@dataclasses.dataclass(frozen=True, eq=False)
class FrameResult:
  """What was decided for one frame.

  Attributes:
    labels: 0 = background, otherwise object ids.
    object_ids: objects that are tracked, or were found, in the order of their slots.
    slot_probs: probabilities of all slots, on the device.
    slots: of `object_ids`.
  """

  labels: Int[np.ndarray, "h w"]
  object_ids: tuple[int, ...]
  slot_probs: Float[AnyArray, "1 s h w"] = dataclasses.field(repr=False)
  slots: tuple[int, ...] = dataclasses.field(repr=False)

  @functools.cached_property
  def probs(self) -> Float[np.ndarray, "o h w"]:
    """Probability of each object of `object_ids`; fetched when it is first asked for.

    Probabilities of objects that compete sum to one with the background's; of others
    each stands by itself.
    """
    return np.asarray(self.slot_probs)[0, list(self.slots)]

  @classmethod
  def of(
      cls,
      slot_labels: Int[AnyArray, "1 h w"],
      slot_probs: Float[AnyArray, "1 s h w"],
      present: Bool[np.ndarray, "s"],
      ids: Sequence[int],
      slots: Sequence[int],
  ) -> "FrameResult":
    """The result in terms of ids.

    Args:
      slot_labels: 0 = none, i = slot i - 1.
      slot_probs: of all slots.
      present: slots that hold an object.
      ids: of the slots that are in use.
      slots: of these ids.
    """
    id_of = np.zeros(len(present) + 1, np.int32)
    id_of[[slot + 1 for slot in slots]] = ids
    here = [(i, slot) for i, slot in zip(ids, slots) if present[slot]]
    return cls(
        id_of[np.asarray(slot_labels)[0]],
        tuple(i for i, _ in here),
        slot_probs,
        tuple(slot for _, slot in here),
    )
