"""`FrameResult`: the segmentation of one frame."""

import functools
from collections.abc import Collection, Sequence
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, Float, Int, Shaped, UInt8

from vosjax.inference import confidence
from vosjax.types import AnyArray

# An object whose score is lower is probably lost, see docs/research.md: those with a
# score of 0.5 to 0.6 overlap with their true mask by about half.
LOST_BELOW = 0.6


class _InSlots(NamedTuple):
  """What the device computed, and which object is in which slot."""

  labels: Shaped[AnyArray, "1 h w"]
  present: Bool[AnyArray, "1 s"]
  evidence: Float[AnyArray, "1 s e"]
  ids: tuple[int, ...]
  slots: tuple[int, ...]


class FrameResult:
  """The segmentation of one frame.

  What the device computes is copied when it is first read, so a frame need not be
  finished before the next one is given.

  Attributes:
    frame: the RGB image; a copy of what the segmenter was given.
    slot_probs: probabilities [1 s h w] of all slots. They stay on the device until
      `probs` is read, except for a frame whose labels were given.

  Args:
    frame: RGB.
    labels: see the property; likewise the following ones.
    object_ids: see there.
    slot_probs: see above.
    slots: see there.
    scores: see there; None: 1, for objects that were given.
  """

  frame: UInt8[np.ndarray, "h w 3"]
  slot_probs: Float[AnyArray, "1 s h w"]
  _in_slots: "_InSlots"  # only where the properties below are not known yet

  def __init__(
    self,
    frame: UInt8[np.ndarray, "h w 3"],
    labels: Int[np.ndarray, "h w"],
    object_ids: tuple[int, ...],
    slot_probs: Float[AnyArray, "1 s h w"],
    slots: tuple[int, ...],
    scores: Float[np.ndarray, " o"] | None = None,
  ):
    self.frame, self.slot_probs = frame, slot_probs
    if scores is None:
      scores = np.ones(len(object_ids), np.float32)
    # What is known already need not be computed by the properties below.
    vars(self).update(labels=labels, object_ids=object_ids, slots=slots, scores=scores)

  @functools.cached_property
  def labels(self) -> Int[np.ndarray, "h w"]:
    """0 is background, other values are object ids."""
    id_of = np.zeros(self.slot_probs.shape[1] + 1, np.int32)
    id_of[[slot + 1 for slot in self._in_slots.slots]] = self._in_slots.ids
    slot_labels = np.asarray(self._in_slots.labels)[0]
    # Ids mostly are the numbers of slots, and to look them up takes ten times longer.
    if np.array_equal(id_of, np.arange(len(id_of))):
      return slot_labels.astype(np.int32)
    return id_of.take(slot_labels)

  @functools.cached_property
  def object_ids(self) -> tuple[int, ...]:
    """Objects that are tracked, or were found, in the order of their slots."""
    tracked = zip(self._in_slots.ids, self._in_slots.slots)
    return tuple(i for i, slot in tracked if slot in self.slots)

  @functools.cached_property
  def slots(self) -> tuple[int, ...]:
    """Slots of `object_ids`."""
    present = np.asarray(self._in_slots.present)[0]
    return tuple(slot for slot in self._in_slots.slots if present[slot])

  @functools.cached_property
  def probs(self) -> Float[np.ndarray, "o h w"]:
    """Probability of each object in `object_ids`, copied from the device when needed.

    If objects compete for pixels, probabilities sum to one together with the
    background's. Otherwise each object's probability is independent of the others.
    """
    return np.asarray(self.slot_probs)[0, list(self.slots)]

  @functools.cached_property
  def scores(self) -> Float[np.ndarray, " o"]:
    """The overlap J that each object's mask is expected to have with the true one.

    1 if the mask was given. How good the others are is said in the documentation of
    the weights; only scores of a model with a matching cue are calibrated.
    """
    return confidence.score(self.evidence)

  @functools.cached_property
  def evidence(self) -> Float[np.ndarray, "o e"]:
    """What the scores are computed from, see `confidence.evidence`."""
    return np.asarray(self._in_slots.evidence)[0, list(self.slots)]

  @property
  def lost(self) -> Bool[np.ndarray, " o"]:
    """Whether each object in `object_ids` is probably lost: its score is below 0.6."""
    return self.scores < LOST_BELOW

  def masks(
    self, ids: Collection[int], threshold: float
  ) -> dict[int, Bool[np.ndarray, "h w"]]:
    """Masks of those objects among `ids` that are present, overlaps included."""
    masks = zip(self.object_ids, self.probs > threshold)
    return {i: mask for i, mask in masks if i in ids}

  def with_given(
    self, labels: Int[np.ndarray, "h w"], ids: Collection[int]
  ) -> "FrameResult":
    """This result with objects as they are given; all others stay where they were.

    Args:
      labels: object ids; an object of `ids` without a pixel is not in the frame.
      ids: the objects that are given, those of this frame or others.

    Returns:
      A result in which pixels that a given object loses are background.
    """
    given = np.isin(labels, list(ids))
    merged = np.where(np.isin(self.labels, list(ids)), 0, self.labels)
    merged[given] = labels[given]
    object_ids = (*self.object_ids, *sorted(set(ids) - set(self.object_ids)))
    probs = np.zeros((1, len(object_ids), *labels.shape), np.float32)
    scores = np.ones(len(object_ids), np.float32)
    for place, i in enumerate(object_ids):
      if i in ids:
        probs[0, place] = labels == i
      else:
        probs[0, place] = np.where(given, 0, self.probs[place])
        scores[place] = self.scores[place]
    slots = tuple(range(len(object_ids)))
    return FrameResult(self.frame, merged, object_ids, probs, slots, scores)

  @classmethod
  def from_slots(
    cls,
    frame: UInt8[np.ndarray, "h w 3"],
    slot_labels: Shaped[AnyArray, "1 h w"],
    slot_probs: Float[AnyArray, "1 s h w"],
    present: Bool[AnyArray, "1 s"],
    slot_evidence: Float[AnyArray, "1 s e"],
    ids: Sequence[int],
    slots: Sequence[int],
  ) -> "FrameResult":
    """Translates slots into object ids, once a property is read.

    Args:
      frame: RGB.
      slot_labels: 0 is background, i is slot i - 1.
      slot_probs: probabilities of all slots.
      present: which slots hold an object in this frame.
      slot_evidence: of all slots, see `confidence.evidence`.
      ids: ids of the tracked objects.
      slots: the slots of these ids.
    """
    result = cls.__new__(cls)
    result.frame, result.slot_probs = frame, slot_probs
    result._in_slots = _InSlots(
      slot_labels, present, slot_evidence, tuple(ids), tuple(slots)
    )
    if isinstance(slot_labels, jax.Array):
      slot_labels.copy_to_host_async()
    return result

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
