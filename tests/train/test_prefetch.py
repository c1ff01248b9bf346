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
  return [t for t in threading.enumerate() if t.name.startswith("batches")]


def test_batches_are_made_ahead_in_their_order_and_none_is_lost(made):
  with on_devices(made.batches(5), make_mesh(1)) as batches:
    names, first = next(batches)
    made.wait(3)  # nobody asked for these
    rest = list(batches)
  assert [names, *(name for name, _ in rest)] == [[f"clip{k}"] for k in range(5)]
  values = [int(batch.frames.max()) for batch in [first, *(b for _, b in rest)]]
  assert values == list(range(5))
  assert isinstance(first.frames, jax.Array)
  assert first.classes is None


def test_only_a_few_are_made_ahead(made):
  with on_devices(made.batches(50), make_mesh(1)) as batches:
    next(batches)
    made.wait(3)
  assert not any(thread.is_alive() for thread in threads())
  assert len(made.numbers) == 3


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_only_a_second_ctrl_c_does_not_wait_for_the_batch_in_progress(made, error):
  going_on = threading.Event()

  def batches():
    yield from made.batches(1)
    going_on.wait(timeout=0.5)

  with pytest.raises(error), on_devices(batches(), make_mesh(1)) as placed:
    next(placed)
    raise error
  found = threads()
  assert any(thread.is_alive() for thread in found) == (error is KeyboardInterrupt)
  going_on.set()
  for thread in found:
    thread.join(timeout=20)


def test_an_error_comes_in_place_of_the_batch_that_failed(made):
  damaged = ValueError("a.png: damaged")
  with on_devices(made.batches(3, damaged), make_mesh(1)) as batches:
    assert [next(batches)[0] for _ in range(3)] == [["clip0"], ["clip1"], ["clip2"]]
    with pytest.raises(ValueError, match="a.png: damaged"):
      next(batches)
