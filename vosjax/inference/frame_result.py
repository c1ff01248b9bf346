"""What the engine says of one frame."""

import dataclasses
import functools
from collections.abc import Collection, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from vosjax.types import AnyArray


@dataclasses.dataclass(frozen=True, eq=False)
class FrameResult:
  """What was decided for one frame.

  Attributes:
    frame: RGB, as it was given.
    labels: 0 = background, otherwise object ids.
    object_ids: objects that are tracked, or were found, in the order of their slots.
    slot_probs: probabilities of the slots, where they were computed: on the device,
      but for a frame whose objects were given.
    slots: of `object_ids`.
  """

  frame: UInt8[np.ndarray, "h w 3"] = dataclasses.field(repr=False)
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

  def masks(
    self, ids: Collection[int], threshold: float
  ) -> dict[int, Bool[np.ndarray, "h w"]]:
    """Pixels of some objects, of those that were found, before overlaps are settled."""
    found = zip(self.object_ids, self.probs > threshold)
    return {i: mask for i, mask in found if i in ids}

  @classmethod
  def of(
    cls,
    frame: UInt8[np.ndarray, "h w 3"],
    slot_labels: Int[AnyArray, "1 h w"],
    slot_probs: Float[AnyArray, "1 s h w"],
    present: Bool[np.ndarray, "s"],
    ids: Sequence[int],
    slots: Sequence[int],
  ) -> "FrameResult":
    """The result in terms of ids.

    Args:
      frame: that they belong to.
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
      frame,
      id_of[np.asarray(slot_labels)[0]],
      tuple(i for i, _ in here),
      slot_probs,
      tuple(slot for _, slot in here),
    )

  @classmethod
  def given(
    cls,
    frame: UInt8[np.ndarray, "h w 3"],
    labels: Int[np.ndarray, "h w"],
    ids: Sequence[int],
    slots: Sequence[int],
  ) -> "FrameResult":
    """That of a frame whose objects were given; what is none of them is background."""
    probs = np.zeros((1, max(slots) + 1, *labels.shape), np.float32)
    for i, slot in zip(ids, slots):
      probs[0, slot] = labels == i
    shown = np.where(probs[0].any(0), labels, 0).astype(np.int32)
    return cls(frame, shown, tuple(ids), probs, tuple(slots))

  @classmethod
  def nothing(cls, frame: UInt8[np.ndarray, "h w 3"]) -> "FrameResult":
    """That of a frame before the first object."""
    size = frame.shape[:2]
    probs = np.zeros((1, 0, *size), np.float32)
    return cls(frame, np.zeros(size, np.int32), (), probs, ())
