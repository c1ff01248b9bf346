"""Maps object ids to the slots of a model."""

import types
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from vosjax.inference.checks import UsageError


class Slots:
  """A mapping from object ids to slots, which are positions on a model's object axis.

  Ids are any positive integers in any order. A new object takes the lowest free slot.

  Args:
    capacity: number of slots.
    by_id: id k takes slot k - 1 instead, if that slot exists and is free. This matters
      for models whose slots exist before their objects do and interact: they see which
      slots are empty.
  """

  def __init__(self, capacity: int, *, by_id: bool = False):
    self.capacity = capacity
    self.by_id = by_id
    self._slot_of: dict[int, int] = {}

  def to_json(self) -> dict[str, Any]:
    """Everything as JSON can hold it."""
    slot_of = [list(pair) for pair in self._slot_of.items()]
    return {"capacity": self.capacity, "by_id": self.by_id, "slot_of": slot_of}

  @classmethod
  def from_json(cls, values: Mapping[str, Any]) -> "Slots":
    """The inverse of `to_json`."""
    slots = cls(values["capacity"], by_id=values["by_id"])
    slots._slot_of = dict(values["slot_of"])
    return slots

  @property
  def ids(self) -> tuple[int, ...]:
    """Tracked ids in the order of their slots."""
    return tuple(sorted(self._slot_of, key=self._slot_of.__getitem__))

  @property
  def used(self) -> tuple[int, ...]:
    """Slots of `ids`."""
    return tuple(self._slot_of[i] for i in self.ids)

  @property
  def slot_of(self) -> Mapping[int, int]:
    """Slot of each tracked id."""
    return types.MappingProxyType(self._slot_of)

  @property
  def active(self) -> Bool[np.ndarray, "1 s"]:
    """Which slots are used."""
    return self.flags(self.ids)

  @property
  def num_free(self) -> int:
    """How many slots are free."""
    return self.capacity - len(self._slot_of)

  def add(self, ids: Sequence[int]) -> tuple[int, ...]:
    """Gives each new id a free slot and returns the slots.

    Raises:
      UsageError: an id is tracked already, or too few slots are free; nothing is
        added then.
    """
    self.refuse_tracked(ids)
    self.refuse_excess(ids)
    free = set(range(self.capacity)) - set(self._slot_of.values())
    if self.by_id:
      self._slot_of |= {i: i - 1 for i in ids if i - 1 in free}
    others = [i for i in ids if i not in self._slot_of]
    self._slot_of |= zip(others, sorted(free - set(self._slot_of.values())))
    return tuple(self._slot_of[i] for i in ids)

  def refuse_tracked(self, ids: Iterable[int]) -> None:
    """Raises UsageError if an id is tracked already."""
    tracked = sorted(set(ids) & set(self._slot_of))
    if tracked:
      raise UsageError(
        f"objects {tracked} are tracked already (tracking {list(self.ids)}). Give "
        "labels of new objects only, correct() the old ones, or remove() them first."
      )

  def refuse_excess(self, ids: Sequence[int]) -> None:
    """Raises UsageError if too few slots are free."""
    if len(ids) > self.num_free:
      raise UsageError(
        f"{len(ids)} new objects {list(ids)} but {self.num_free} of {self.capacity} "
        f"slots are free (tracking {list(self.ids)}). Raise max_objects or remove() "
        "an object first."
      )

  def to_slot_labels(
    self, labels: Int[np.ndarray, "h w"], ids: Sequence[int]
  ) -> Int[np.ndarray, "1 h w"]:
    """Translates labels of tracked objects into labels of slots.

    Args:
      labels: object ids; those not in `ids` become background.
      ids: the objects to keep.

    Returns:
      Labels in which 0 is background and i is slot i - 1.
    """
    slot_labels = np.zeros((1, *labels.shape), np.int32)
    for i in ids:
      slot_labels[0, labels == i] = self._slot_of[i] + 1
    return slot_labels

  def flags(self, ids: Iterable[int]) -> Bool[np.ndarray, "1 s"]:
    """Which slots hold the objects `ids`, which are tracked."""
    flags = np.zeros((1, self.capacity), bool)
    flags[0, [self._slot_of[i] for i in ids]] = True
    return flags

  def remove(self, object_id: int) -> int:
    """Frees the slot of an id and returns it.

    Raises:
      UsageError: the id is not tracked.
    """
    if object_id not in self._slot_of:
      raise UsageError(
        f"object {object_id} is not tracked (tracking {list(self.ids)})."
      )
    return self._slot_of.pop(object_id)
