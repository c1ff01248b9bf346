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


@pytest.mark.parametrize(("pause", "share"), [(0.003, 0.75), (1e-6, 0.0)])
def test_the_share_of_time_in_which_a_device_waits(monkeypatch, pause, share):
  clock = Clock()
  monkeypatch.setattr(feed, "time", clock)

  def update(batch):
    assert batch.frames.shape == BATCH["frames"].shape
    clock.now += 0.002

  @contextlib.contextmanager
  def in_turn(batches, mesh):  # without a thread, whose time would pass beside this
    yield (((), shard(batch, mesh)) for batch in batches)

  def batches(self, num_workers):  # every other one of the shape that is measured
    assert num_workers == 0
    for batch in itertools.cycle([BATCH, OTHER]):
      clock.now += pause
      yield batch

  monkeypatch.setattr(feed, "on_devices", in_turn)
  monkeypatch.setattr(feed.Feed, "batches", batches)
  config = get_config("smoke")
  source = feed.procedural(config, config.stages.two, recipe_of(config))
  mesh = make_mesh(1)
  result = feed.measure(source, update, shard(BATCH, mesh), mesh, seconds=0.1)
  assert result["waiting_share"] == pytest.approx(share, abs=0.01)
  assert result["batches_per_second"] == pytest.approx(1 / (2 * pause), rel=0.1)
  assert result["ms_per_batch_per_core"] == pytest.approx(1e3 * pause)
  assert f"waits for data {share:.0%}"[:-1] in feed.describe(result)
