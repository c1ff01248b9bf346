"""Memory is used again when, and only when, nobody can see it."""

import gc
import pickle
import threading

import numpy as np

from vosjax.data.buffer_pool import Recycler


def address(array):
  return array.__array_interface__["data"][0]


def test_memory_of_what_is_gone_is_used_again():
  recycler = Recycler()
  first = recycler.empty(3, 4, 5)
  assert first.shape == (3, 4, 5) and first.dtype == np.uint8 and first.flags.writeable
  place = address(first)
  del first
  others = [np.empty(60, np.uint8) for _ in range(8)]  # what is free, they take
  assert address(recycler.empty(5, 12)) == place  # of the same size, in another shape
  assert place not in map(address, others)


def test_memory_that_is_in_use_is_left_alone():
  recycler = Recycler()
  first = recycler.empty(4, 6)
  first[...] = 7
  views = [first[1, ::-1], first.reshape(-1).view(np.uint16)[2:], first.T[0]]
  del first
  while views:
    other = recycler.empty(4, 6)
    other[...] = 9
    assert all((np.asarray(view).view(np.uint8) == 7).all() for view in views[:2])
    assert all((view != 9).all() for view in views[2:])
    views.pop()
    gc.collect()


def test_other_sizes_have_other_memory():
  recycler = Recycler()
  small, large = recycler.empty(10), recycler.empty(1000)
  places = address(small), address(large)
  del small, large
  again = recycler.empty(1000), recycler.empty(10)
  assert (address(again[1]), address(again[0])) == places


def test_threads_never_get_the_same_memory():
  recycler, clashes = Recycler(), []

  def use(number):
    for _ in range(2000):
      array = recycler.empty(64)
      array[...] = number
      if (array != number).any():
        clashes.append(number)

  threads = [threading.Thread(target=use, args=(i,)) for i in range(4)]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  assert not clashes


def test_it_goes_to_worker_processes():
  assert pickle.loads(pickle.dumps(Recycler())).empty(2, 3).shape == (2, 3)
