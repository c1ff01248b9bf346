"""Batches that are on the devices before a step needs them."""

import threading

import jax
import numpy as np
import pytest

from vosjax.train.prefetch import on_devices
from vosjax.train.step import make_mesh


@pytest.fixture
def made():
  """Batches, and which of them have been made."""
  return Made()


class Made:
  def __init__(self):
    self.numbers = []
    self.changed = threading.Condition()

  def batches(self, count, error=None):
    for k in range(count):
      with self.changed:
        self.numbers.append(k)
        self.changed.notify_all()
      yield {
        "frames": np.full((1, 1, 2, 2, 3), k, np.uint8),
        "labels": np.zeros((1, 1, 2, 2), np.uint8),
        "names": [f"clip{k}"],
      }
    if error:
      raise error

  def wait(self, count):
    with self.changed:
      assert self.changed.wait_for(lambda: len(self.numbers) >= count, timeout=20)


def threads():
  """Threads that have not ended after a while."""
  found = [t for t in threading.enumerate() if t.name.startswith("batches")]
  for thread in found:
    thread.join(timeout=20)
  return [t for t in found if t.is_alive()]


def test_batches_are_made_ahead_in_their_order_and_none_is_lost(made):
  placed = on_devices(made.batches(5), make_mesh(1))
  names, first = next(placed)
  made.wait(3)  # nobody asked for these
  rest = list(placed)
  assert [names, *(name for name, _ in rest)] == [[f"clip{k}"] for k in range(5)]
  values = [int(batch.frames.max()) for batch in [first, *(b for _, b in rest)]]
  assert values == list(range(5))
  assert isinstance(first.frames, jax.Array)
  assert first.classes is None


def test_only_a_few_are_made_ahead(made):
  placed = on_devices(made.batches(50), make_mesh(1))
  next(placed)
  made.wait(3)
  placed.close()
  assert not threads()
  assert len(made.numbers) == 3


def test_closing_does_not_wait_for_a_batch_in_progress(made):
  going_on = threading.Event()

  def batches():
    yield from made.batches(1)
    going_on.wait(timeout=20)

  placed = on_devices(batches(), make_mesh(1))
  next(placed)
  placed.close()
  assert any(t.name.startswith("batches") for t in threading.enumerate())
  going_on.set()
  assert not threads()


def test_an_error_comes_in_place_of_the_batch_that_failed(made):
  placed = on_devices(made.batches(3, ValueError("a.png: damaged")), make_mesh(1))
  assert [next(placed)[0] for _ in range(3)] == [["clip0"], ["clip1"], ["clip2"]]
  with pytest.raises(ValueError, match="a.png: damaged"):
    next(placed)
  assert not threads()
