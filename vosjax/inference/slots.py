"""Object ids of the outside world and the slots that models know."""

import types
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Int


class Slots:
  """Which object id sits in which slot.

  Ids are any positive integers in any order; slots are positions on a model's object
  axis. A new object takes the lowest free slot.

  Args:
    capacity: number of slots.
    by_id: id k takes slot k - 1 instead, as long as there is such a slot and it is
      free. To a model whose slots live before their objects do, and see each other,
      it makes a difference which slots are left empty.
  """

  def __init__(self, capacity: int, *, by_id: bool = False):
    self.capacity = capacity
    self.by_id = by_id
    self._slot_of: dict[int, int] = {}

  @property
  def ids(self) -> tuple[int, ...]:
    """Tracked ids, in the order of their slots."""
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
    return self._mask(self.used)

  @property
  def num_free(self) -> int:
    return self.capacity - len(self._slot_of)

  def refuse_known(self, ids: Iterable[int], caller: str) -> None:
    """Raises ValueError if an id is tracked already."""
    known = sorted(set(ids) & set(self._slot_of))
    if known:
      raise ValueError(
        f"{caller}(): objects {known} are tracked already (tracking "
        f"{list(self.ids)}). Give labels of new objects only, or remove() the old "
        "ones first."
      )

  def refuse_excess(self, ids: Sequence[int], caller: str) -> None:
    """Raises ValueError if too few slots are free."""
    if len(ids) > self.num_free:
      raise ValueError(
        f"{caller}(): {len(ids)} new objects {list(ids)} but {self.num_free} of "
        f"{self.capacity} slots are free (tracking {list(self.ids)}). "
        "Raise max_objects or remove() an object first."
      )

  def add(self, ids: Sequence[int], caller: str = "add") -> tuple[int, ...]:
    """Gives each new id a free slot and returns the slots.

    Raises:
      ValueError: an id is tracked already, or too few slots are free; nothing is
        added then.
    """
    self.refuse_known(ids, caller)
    self.refuse_excess(ids, caller)
    free = set(range(self.capacity)) - set(self._slot_of.values())
    if self.by_id:
      self._slot_of |= {i: i - 1 for i in ids if i - 1 in free}
    rest = [i for i in ids if i not in self._slot_of]
    self._slot_of |= zip(rest, sorted(free - set(self._slot_of.values())))
    return tuple(self._slot_of[i] for i in ids)

  def place(
    self, labels: Int[np.ndarray, "h w"], ids: Sequence[int]
  ) -> tuple[Int[np.ndarray, "1 h w"], Bool[np.ndarray, "1 s"]]:
    """Labels in terms of slots (0 = none, i = slot i - 1), and the slots of `ids`."""
    slots = [self._slot_of[i] for i in ids]
    placed = np.zeros((1, *labels.shape), np.int32)
    for object_id, slot in zip(ids, slots):
      placed[0, labels == object_id] = slot + 1
    return placed, self._mask(slots)

  def remove(self, object_id: int) -> int:
    """Frees the slot of an id and returns it."""
    if object_id not in self._slot_of:
      raise ValueError(
        f"remove(): object {object_id} is not tracked (tracking {list(self.ids)})."
      )
    return self._slot_of.pop(object_id)

  def _mask(self, slots):
    mask = np.zeros((1, self.capacity), bool)
    mask[0, list(slots)] = True
    return mask
