"""Batches that are on the devices before a step needs them."""

import threading
import time

import jax
import numpy as np
import pytest

from vosjax.train.prefetch import on_devices
from vosjax.train.step import make_mesh

SHAPE = (1, 1, 2, 3, 3)


@pytest.fixture
def made():
  """Batches, and which of them have been made."""
  return Made()


class Made:
  def __init__(self):
    self.numbers = []
    self.changed = threading.Condition()

  def batches(self, count, error=None):
    """Fails if two threads ask for a batch at once, as generators do."""
    for k in range(count):
      time.sleep(0.005)
      with self.changed:
        self.numbers.append(k)
        self.changed.notify_all()
      yield {
        "frames": np.full(SHAPE, k, np.uint8),
        "labels": np.zeros(SHAPE[:-1], np.uint8),
        "names": [f"clip{k}"],
      }
    if error:
      raise error

  def wait(self, count, timeout=20):
    """Whether so many have been made in time."""
    with self.changed:
      return self.changed.wait_for(lambda: len(self.numbers) >= count, timeout)


def test_batches_are_made_ahead_in_their_order_and_none_is_lost(made):
  with on_devices(made.batches(5), make_mesh(1)) as batches:
    names, first = next(batches)
    assert made.wait(3)  # nobody asked for these
    rest = list(batches)
  assert [names, *(name for name, _ in rest)] == [[f"clip{k}"] for k in range(5)]
  values = [int(batch.frames.max()) for batch in [first, *(b for _, b in rest)]]
  assert values == list(range(5))
  assert isinstance(first.frames, jax.Array)
  assert first.classes is None


def test_only_a_few_are_made_ahead_and_they_are_freed_at_the_end(made):
  with on_devices(made.batches(50), make_mesh(1)) as batches:
    next(batches)
    assert made.wait(3)
    assert not made.wait(4, timeout=0.3)
  assert len(made.numbers) == 3
  alive = [array for array in jax.live_arrays() if array.shape == SHAPE]
  assert len(alive) <= 1  # that of the batch that was taken last
  assert not list(batches)


def test_the_batch_in_progress_is_awaited_at_the_end(made):
  begun = threading.Event()
  done = []

  def slow():
    yield from made.batches(1)
    begun.set()
    time.sleep(0.2)
    done.append(True)

  with pytest.raises(ZeroDivisionError), on_devices(slow(), make_mesh(1)) as batches:
    next(batches)
    assert begun.wait(timeout=20)
    raise ZeroDivisionError
  assert done


@pytest.mark.parametrize("kind", ["generator", "other"])
def test_an_error_comes_in_place_of_the_batch_that_failed(made, kind):
  generator = made.batches(3, ValueError("a.png: damaged"))
  asked = []

  def ask():
    asked.append(True)
    return next(generator)

  # Other iterators could go on after an error.
  source = generator if kind == "generator" else iter(ask, None)
  with on_devices(source, make_mesh(1)) as batches:
    assert [next(batches)[0] for _ in range(3)] == [["clip0"], ["clip1"], ["clip2"]]
    time.sleep(0.1)  # so that what follows the error could have been asked for
    with pytest.raises(ValueError, match="a.png: damaged"):
      next(batches)
  assert len(asked) in (0, 4)  # not again after the error
