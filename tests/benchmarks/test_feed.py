"""The benchmark of a stage's feed."""

import contextlib
import itertools

import numpy as np
import pytest

from vosjax.benchmarks import feed
from vosjax.train.configs.ris import get_config
from vosjax.train.recipes import recipe_of
from vosjax.train.step import make_mesh, shard

BATCH = {
  "frames": np.zeros((1, 2, 3, 4, 3), np.uint8),
  "labels": np.zeros((1, 2, 3, 4), np.uint8),
}
OTHER = {"frames": np.zeros((1, 1, 3, 4, 3), np.uint8)}


class Clock:
  """Time that passes only where a test says so."""

  now = 0.0

  def perf_counter(self):
    return self.now

  process_time = perf_counter


STORED = 6


def in_turn(clock):
  """In place of `on_devices`: its thread would make time pass beside training."""

  @contextlib.contextmanager
  def on_devices(batches, mesh):
    def placed():
      for batch in batches:
        clock.now += 0.0005  # to copy it
        yield (), shard(batch, mesh)

    yield placed()

  return on_devices


@pytest.mark.parametrize(("pause", "share"), [(0.003, 0.765), (1e-6, 0.2)])
def test_the_share_of_time_in_which_a_device_waits(monkeypatch, pause, share):
  clock = Clock()
  monkeypatch.setattr(feed, "time", clock)
  monkeypatch.setattr(feed, "on_devices", in_turn(clock))

  def update(batch):
    assert batch.frames.shape == BATCH["frames"].shape
    clock.now += 0.002

  def batches(self, num_workers):  # every other one of the shape that is measured
    assert num_workers == 0
    for batch in itertools.cycle([BATCH, OTHER]):
      clock.now += pause
      yield batch

  monkeypatch.setattr(feed.Feed, "batches", batches)
  result = measured(update, seconds=0.1)
  assert result["waiting_share"] == pytest.approx(share, abs=0.01)
  assert result["transfer_share"] == pytest.approx(0.2, abs=0.001)
  assert result["batches_per_second"] == pytest.approx(1 / (2 * pause), rel=0.1)
  assert result["ms_per_batch_per_core"] == pytest.approx(1e3 * pause)
  assert f"waits for data {share:.0%}"[:-1] in feed.describe(result)
  assert "(20.0% where" in feed.describe(result)
  for workers, makers in (
    (0, "threads make"),
    (1, "1 process makes"),
    (7, "7 processes make"),
  ):
    assert f"; {makers} " in feed.describe(result | {"num_workers": workers})


def test_batches_that_were_made_before_do_not_count(monkeypatch):
  """A feed that makes one in 4 ms, and has a store that it fills meanwhile."""
  clock = Clock()
  monkeypatch.setattr(feed, "time", clock)
  monkeypatch.setattr(feed, "on_devices", in_turn(clock))
  monkeypatch.setattr(feed.pipeline, "num_threads", lambda: 1)

  def update(batch):
    clock.now += 0.002

  def batches(self, num_workers):
    ready = clock.now  # when the next one has been made
    while True:
      ready = max(ready, clock.now - STORED * 0.004) + 0.004
      clock.now = max(clock.now, ready)
      yield BATCH

  monkeypatch.setattr(feed.Feed, "batches", batches)
  result = measured(update, seconds=0.4)
  assert result["batches_per_second"] == pytest.approx(250, rel=0.01)
  assert result["waiting_share"] == pytest.approx(0.5, abs=0.01)


def measured(update, seconds):
  config = get_config("smoke")
  source = feed.procedural(config, config.stages.two, recipe_of(config))
  mesh = make_mesh(1)
  return feed.measure(source, update, shard(BATCH, mesh), mesh, seconds=seconds)
