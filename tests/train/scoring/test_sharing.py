"""Work is shared over devices; items may be postponed; the first failure stops all."""

import threading
from concurrent import futures

import jax
import pytest

from vosjax.train.scoring import sharing


@pytest.fixture(params=[1, 2])
def count(request, monkeypatch):
  devices = jax.local_devices()[: request.param]
  if len(devices) < request.param:
    pytest.skip("needs two devices")
  monkeypatch.setattr(jax, "local_devices", lambda: devices)
  return request.param


@pytest.mark.parametrize("items", [[], [0], list(range(20))])
def test_each_item_is_worked_on_once_where_its_worker_was_made(count, items):
  done, makers, lock = [], [], threading.Lock()

  def make():
    with lock:
      makers.append(jax.numpy.zeros(()).device)
    return makers[-1]

  def work(worker, item, stopped):
    assert jax.numpy.zeros(()).device == worker or count == 1
    assert not stopped.is_set()
    with lock:
      done.append(item)

  assert sharing.run_on_devices(make, work, items) == []
  assert sorted(done) == items
  assert len(makers) == len(set(makers)) == min(count, len(items))


def test_the_first_failure_stops_all(count):
  waited = []

  def work(worker, item, stopped):
    if item == 0:
      raise KeyboardInterrupt
    waited.append(stopped.wait(60))  # until the other device has failed

  with pytest.raises(KeyboardInterrupt):
    sharing.run_on_devices(lambda: None, work, range(9))
  assert waited in ([], [True])


def test_a_failure_stops_others_before_the_main_thread_hears_of_it(count, monkeypatch):
  if count == 1:
    pytest.skip("needs two devices")
  together, waited = threading.Barrier(2), []

  def work(worker, item, stopped):
    together.wait(60)
    if item == 0:
      raise KeyboardInterrupt
    waited.append(stopped.wait(60))

  def when_all_are_done(pending):
    futures.wait(pending)
    return pending

  monkeypatch.setattr(futures, "as_completed", when_all_are_done)
  with pytest.raises(KeyboardInterrupt):
    sharing.run_on_devices(lambda: None, work, range(2))
  assert waited == [True]


def test_postponed_items_come_after_the_others(count):
  tried, lock = [], threading.Lock()

  def work(worker, item, stopped):
    with lock:
      tried.append(item)
      if tried.count(item) == 1 and item < 3:
        raise sharing.Postponed

  assert sharing.run_on_devices(lambda: None, work, range(9)) == []
  assert sorted(tried) == sorted([*range(9), 0, 1, 2])
  assert set(tried[:9]) == set(range(9)) and set(tried[9:]) == {0, 1, 2}


def test_items_are_tried_again_only_as_long_as_others_are_completed(count):
  tried, lock = [], threading.Lock()

  def work(worker, item, stopped):
    with lock:
      tried.append(item)
      assert len(tried) <= 5
    if item != 1:
      raise sharing.Postponed

  left = sharing.run_on_devices(lambda: None, work, range(3))
  assert sorted(left) == [0, 2]
  assert tried.count(1) == 1


def test_a_device_waits_for_items_that_may_be_free_when_others_are_done():
  queue, taken = sharing._Queue(["a", "b"]), []
  busy, own = next(queue), next(queue)
  queue.postpone(busy)
  thread = threading.Thread(target=lambda: taken.extend(queue), daemon=True)
  thread.start()
  queue.complete()
  thread.join(60)
  assert own == "b" and taken == ["a"]


def test_a_device_that_waits_tries_again_from_time_to_time(monkeypatch):
  monkeypatch.setattr(sharing, "_RETRY_SECONDS", 0.01)
  queue, taken = sharing._Queue(["a", "b"]), []
  busy, _ = next(queue), next(queue)
  for number in range(1, 4):  # while the other item is in progress
    queue.postpone(busy)
    thread = threading.Thread(target=lambda: taken.append(next(queue)), daemon=True)
    thread.start()
    thread.join(60)
    assert taken == [busy] * number


def test_a_device_that_waits_ends_when_another_one_fails(monkeypatch):
  devices = jax.local_devices()[:2]
  if len(devices) < 2:
    pytest.skip("needs two devices")
  waiting, wait, tried = threading.Event(), threading.Condition.wait, []

  def spy(self, timeout=None):
    if timeout == sharing._RETRY_SECONDS:
      waiting.set()
    return wait(self, timeout)

  def work(worker, item, stopped):
    if item == 0:
      assert waiting.wait(60)
      raise KeyboardInterrupt
    tried.append(item)
    raise sharing.Postponed

  monkeypatch.setattr(sharing, "_RETRY_SECONDS", 1e6)
  monkeypatch.setattr(threading.Condition, "wait", spy)
  with pytest.raises(KeyboardInterrupt):
    sharing.run_on_devices(lambda: None, work, [0, 1])
  assert tried == [1]
