"""Benchmark of a stage's feed: how fast batches come, and whether training waits."""

import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from jax.sharding import Mesh
from ml_collections import ConfigDict

from vosjax.data import pipeline
from vosjax.train import feeds
from vosjax.train.prefetch import on_devices
from vosjax.train.recipe import Recipe
from vosjax.types import VideoBatch

_READY = 4  # batches that are made in advance; few, as they may be large

Batch = Mapping[str, Any]


class Feed(NamedTuple):
  """Procedural batches in place of those of a stage.

  Attributes:
    config: of the run.
    stage: its options, with procedural videos as the only source.
    recipe: of the model.
  """

  config: ConfigDict
  stage: ConfigDict
  recipe: Recipe

  def batches(self, num_workers: int) -> Iterator[Batch]:
    """Batches from the first one on, made by so many processes; 0: by threads."""
    config = self.config.copy_and_resolve_references()
    config.data.num_workers = num_workers
    sources = feeds.training_sources(config, self.stage)
    return self.recipe.batches(config, self.stage, sources, config.seed)(0)


def procedural(config: ConfigDict, stage: ConfigDict, recipe: Recipe) -> Feed:
  """The feed of a stage, endless and without any need for data."""
  options = stage.copy_and_resolve_references()
  with options.unlocked():
    options.sources = ConfigDict({"synthvos": 1.0})
  options.update(replacement=True, samples_per_epoch=0, num_steps=10**6)
  return Feed(config, options, recipe)


def of_size(feed: Feed, size: tuple[int, int]) -> Feed:
  """The same feed, all batches of which have one size."""
  options = feed.stage.copy_and_resolve_references()
  options.size = size
  if "more_sizes" in options:
    options.more_sizes = ()
  return feed._replace(stage=options)


def measure(
  feed: Feed,
  update: Callable[[VideoBatch], Any],
  batch: VideoBatch,
  mesh: Mesh,
  *,
  seconds: float,
) -> dict[str, Any]:
  """Times the feed alone, and training on it beside training on batches that are there.

  The kinds of training take turns, so that changes of the machine's speed cancel.

  Args:
    feed: all batches of one size.
    update: trains on a batch without waiting for the result, as the training loop does.
    batch: on the devices, from the feed; those of other shapes are skipped.
    mesh: devices that share a batch.
    seconds: least duration of each of the five measurements.

  Returns:
    `num_workers`, as in training; `ms_per_batch_per_core`, processor time that a batch
    takes; `batches_per_second` of the feed alone, with all its workers;
    `waiting_share`, the share of time by which training on the feed takes longer than
    training on a batch on the devices: in which they wait for data; and
    `transfer_share`, by which training on batches in memory takes longer, which only
    have to be copied to the devices.
  """
  shape = batch.frames.shape
  workers = feeds.choose_num_workers(feed.config, feed.stage)
  cpu = _cpu_seconds(feed, seconds)
  batches = (b for b in feed.batches(workers) if b["frames"].shape == shape)
  stored = _most_stored(workers)
  _per_batch(batches, stored, 0.0)
  alone = _per_batch(batches, 1, seconds)
  ready = itertools.cycle([next(batches) for _ in range(_READY)])
  spent = {"fed": 0.0, "copied": 0.0, "fixed": 0.0}
  with (
    on_devices(batches, mesh) as from_feed,
    on_devices(ready, mesh) as from_memory,
  ):
    placed = {
      "fed": from_feed,
      "copied": from_memory,
      "fixed": itertools.repeat(((), batch)),
    }

    def train(kind: str, least_seconds: float) -> float:
      return _per_batch((update(x) for _, x in placed[kind]), 1, least_seconds)

    for kinds in (("copied", "fixed"), ("fixed", "copied")):
      _per_batch(from_feed, stored, 0.0)  # or else they would hide a slow feed
      spent["fed"] += train("fed", seconds / 2)
      train("fixed", stored * alone)  # until the workers have filled their stores
      for kind in kinds:
        spent[kind] += train(kind, seconds / 2)
  return {
    "num_workers": workers,
    "ms_per_batch_per_core": 1e3 * cpu,
    "batches_per_second": 1 / alone,
    "waiting_share": max(0.0, 1 - spent["fixed"] / spent["fed"]),
    "transfer_share": max(0.0, 1 - spent["fixed"] / spent["copied"]),
  }


def describe(result: Mapping[str, Any]) -> str:
  """One line for a terminal about what `measure` found."""
  workers = result["num_workers"]
  makers = {0: "threads make", 1: "1 process makes"}
  return (
    f"  a batch takes {result['ms_per_batch_per_core']:.0f} ms of one core; "
    f"{makers.get(workers, f'{workers} processes make')} "
    f"{result['batches_per_second']:.1f} batches/s; the device waits for data "
    f"{result['waiting_share']:.1%} of the time "
    f"({result['transfer_share']:.1%} where batches only have to be copied)"
  )


def _cpu_seconds(feed: Feed, seconds: float) -> float:
  """Processor time for a batch, of this process, in which the feed runs alone."""
  batches = feed.batches(0)
  next(batches)
  began = time.process_time()
  count, until = 0, time.perf_counter() + seconds
  while not count or time.perf_counter() < until:
    next(batches)
    count += 1
  return (time.process_time() - began) / count


def _most_stored(workers: int) -> int:
  """More batches than a feed that nobody takes from has ready, of one size."""
  # Grain keeps six for each worker process, or one more than it has threads.
  return 6 * workers + 4 if workers else pipeline.num_threads() + 5


def _per_batch(items: Iterable[Any], least: int, seconds: float) -> float:
  """Seconds for each item, of at least so many and for at least so long."""
  began = time.perf_counter()
  for count, _ in enumerate(items, start=1):
    passed = time.perf_counter() - began
    if count >= least and passed >= seconds:
      break
  return passed / count
