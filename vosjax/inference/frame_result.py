"""`FrameResult`: the segmentation of one frame."""

import dataclasses
import functools
from collections.abc import Collection, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from vosjax.types import AnyArray


@dataclasses.dataclass(frozen=True, eq=False)
class FrameResult:
  """The segmentation of one frame.

  Attributes:
    frame: the RGB image; a copy of what the segmenter was given.
    labels: 0 is background, other values are object ids.
    object_ids: objects that are tracked, or were found, in the order of their slots.
    slot_probs: probabilities of all slots. They stay on the device until `probs` is
      read, except for a frame whose labels were given.
    slots: slots of `object_ids`.
  """

  frame: UInt8[np.ndarray, "h w 3"] = dataclasses.field(repr=False)
  labels: Int[np.ndarray, "h w"]
  object_ids: tuple[int, ...]
  slot_probs: Float[AnyArray, "1 s h w"] = dataclasses.field(repr=False)
  slots: tuple[int, ...] = dataclasses.field(repr=False)

  @functools.cached_property
  def probs(self) -> Float[np.ndarray, "o h w"]:
    """Probability of each object in `object_ids`, copied from the device when needed.

    If objects compete for pixels, probabilities sum to one together with the
    background's. Otherwise each object's probability is independent of the others.
    """
    return np.asarray(self.slot_probs)[0, list(self.slots)]

  def masks(
    self, ids: Collection[int], threshold: float
  ) -> dict[int, Bool[np.ndarray, "h w"]]:
    """Masks of those objects among `ids` that are present, overlaps included."""
    masks = zip(self.object_ids, self.probs > threshold)
    return {i: mask for i, mask in masks if i in ids}

  @classmethod
  def from_slots(
    cls,
    frame: UInt8[np.ndarray, "h w 3"],
    slot_labels: Int[AnyArray, "1 h w"],
    slot_probs: Float[AnyArray, "1 s h w"],
    present: Bool[np.ndarray, "s"],
    ids: Sequence[int],
    slots: Sequence[int],
  ) -> "FrameResult":
    """Translates slots into object ids.

    Args:
      frame: RGB.
      slot_labels: 0 is background, i is slot i - 1.
      slot_probs: probabilities of all slots.
      present: which slots hold an object in this frame.
      ids: ids of the tracked objects.
      slots: the slots of these ids.
    """
    id_of = np.zeros(len(present) + 1, np.int32)
    id_of[[slot + 1 for slot in slots]] = ids
    found = [(i, slot) for i, slot in zip(ids, slots) if present[slot]]
    return cls(
      frame,
      id_of[np.asarray(slot_labels)[0]],
      tuple(i for i, _ in found),
      slot_probs,
      tuple(slot for _, slot in found),
    )

  @classmethod
  def from_labels(
    cls,
    frame: UInt8[np.ndarray, "h w 3"],
    labels: Int[np.ndarray, "h w"],
    ids: Sequence[int],
    slots: Sequence[int],
  ) -> "FrameResult":
    """The result of a frame whose labels were given; all else is background."""
    probs = np.zeros((1, max(slots) + 1, *labels.shape), np.float32)
    for i, slot in zip(ids, slots):
      probs[0, slot] = labels == i
    objects = np.where(probs[0].any(0), labels, 0).astype(np.int32)
    return cls(frame, objects, tuple(ids), probs, tuple(slots))

  @classmethod
  def background(cls, frame: UInt8[np.ndarray, "h w 3"]) -> "FrameResult":
    """The result of a frame before the first object appears."""
    height, width, _ = frame.shape
    probs = np.zeros((1, 0, height, width), np.float32)
    return cls(frame, np.zeros((height, width), np.int32), (), probs, ())
