"""Which slot an object takes."""

import pytest

from vosjax.inference.slots import Slots


def test_new_objects_take_the_lowest_free_slots():
  slots = Slots(4)
  assert slots.add((7, 2)) == (0, 1)
  slots.remove(7)
  assert slots.add((9, 1, 3)) == (0, 2, 3)
  assert slots.ids == (9, 2, 1, 3)


def test_by_id_objects_take_the_slot_of_their_id_if_possible():
  slots = Slots(5, by_id=True)
  assert slots.add((1, 4, 200)) == (0, 3, 1)  # there is no slot 199
  assert slots.add((2, 3)) == (4, 2)  # 200 is in the slot of 2, which gets the last
  assert slots.ids == (1, 200, 3, 4, 2)
  slots.remove(200)
  slots.remove(2)
  assert slots.add((2,)) == (1,)


@pytest.mark.parametrize("by_id", [False, True])
def test_nothing_is_added_if_anything_is_refused(by_id):
  slots = Slots(2, by_id=by_id)
  slots.add((1,))
  with pytest.raises(ValueError, match=r"2 new objects \[2, 5\] but 1 of 2"):
    slots.add((2, 5))
  with pytest.raises(ValueError, match=r"\[1\] are tracked already"):
    slots.add((1, 2))
  assert slots.ids == (1,)
