"""Work is shared over devices, and stops with the first failure."""

import threading

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

  sharing.run_on_devices(make, work, items)
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
