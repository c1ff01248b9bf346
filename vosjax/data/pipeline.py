"""Sources, transforms and batching as one iterator that can start at any step.

Sample k of a feed (a stage may have several, which take turns) is a function of (seed,
k) alone: its video comes from the random order of its epoch, its augmentation from a
generator of its own. So the number of workers, the number of processes and the step at
which a run resumes change nothing.
"""

import dataclasses
import functools
import gc
from collections.abc import Iterator, Sequence
from typing import Any

import grain
import numpy as np
from absl import flags
from grain.sources import RandomAccessDataSource

from vosjax import children, cores
from vosjax.data.video import Clip

_MAX_TRIES = 100  # videos to try for one sample before giving up


def batches(
  sources: Sequence[RandomAccessDataSource],
  weights: Sequence[float] | None,
  transforms: Sequence[Any] | Sequence[Sequence[Any]],
  *,
  batch_size: int,
  seed: int,
  start_step: int = 0,
  num_steps: int,
  num_workers: int = 0,
  shard: tuple[int, int] = (0, 1),
  replacement: bool = False,
  samples_per_epoch: int | None = None,
) -> Iterator[dict[str, Any]]:
  """Batches of the steps `start_step` to `num_steps` - 1 of a feed.

  Args:
    sources: of videos, or of whatever the first transform takes.
    weights: relative share of each source; None makes all videos equally likely.
    transforms: applied in turn, the first one to a video; each has
      `random_map(element, rng)`, and may return None to skip a video. Either one
      sequence for all sources, or one sequence per source.
    batch_size: clips in a batch of this process.
    seed: with the step, it determines every batch.
    start_step: first step wanted, which is all that resuming needs.
    num_steps: number of steps of the whole feed.
    num_workers: decoding processes; 0 decodes in background threads.
    shard: (index, count) of this process. The batches of all processes together equal
      the batch of one process with `count` times the batch size.
    replacement: see `Order`.
    samples_per_epoch: see `Order`.

  Yields:
    `frames` uint8 [b t h w 3], `labels` uint8 [b t h w], `names` of the clips, and
    `classes` uint8 [b g] where a transform adds them.

  Raises:
    ValueError: an argument is out of range, or a file is unusable; names it.
  """
  index, count = shard
  if not 0 <= index < count:
    raise ValueError(f"shard: got {shard}, expected (index, count), index < count.")
  if batch_size < 1:
    raise ValueError(f"batch_size: got {batch_size}, expected at least 1.")
  order = Order(
    sizes=tuple(len(source) for source in sources),
    weights=None if weights is None else tuple(weights),
    replacement=replacement,
    samples_per_epoch=samples_per_epoch,
    seed=seed,
  )
  if not transforms or not isinstance(transforms[0], Sequence):
    transforms = [transforms] * len(sources)
  samples = _Samples(
    tuple(sources),
    order,
    tuple(map(tuple, transforms)),
    length=num_steps * batch_size * count,
  )
  dataset = grain.MapDataset.source(samples)[index::count]
  dataset = dataset[start_step * batch_size :]
  if not len(dataset):
    return iter(())
  threads = 1 if num_workers else num_threads()
  dataset = dataset.batch(batch_size, batch_fn=_stack).to_iter_dataset(
    grain.ReadOptions(num_threads=threads, prefetch_buffer_size=threads + 1)
  )
  if num_workers:
    if not flags.FLAGS.is_parsed():  # grain's workers read flags
      flags.FLAGS.mark_as_parsed()
    dataset = dataset.mp_prefetch(
      grain.MultiprocessingOptions(num_workers=num_workers, per_worker_buffer_size=1),
      worker_init_fn=_start_worker,
    )
    return map(_in_own_memory, _without_signals(dataset))
  return iter(dataset)


def _without_signals(dataset: grain.IterDataset) -> Iterator[Any]:
  """Iterates over batches whose workers get no signals; the first batch starts them."""
  with children.started_without_signals():
    batches = iter(dataset)
    first = next(batches)
  yield first
  del first  # or it would stay in memory
  yield from batches
  # Grain keeps the last batch of each worker in a cycle with the end of its iterator.
  del batches
  gc.collect()


def _in_own_memory(batch: dict[str, Any]) -> dict[str, Any]:
  """A copy of arrays that workers share with this process.

  JAX holds on to an array that it has copied to a device, for longer than it needs it,
  and shared memory that is held when a process ends is reported as lost.
  """
  return {
    name: np.array(value) if isinstance(value, np.ndarray) else value
    for name, value in batch.items()
  }


@dataclasses.dataclass(frozen=True)
class Order:
  """Which video each sample comes from: a random order for every epoch.

  Attributes:
    sizes: number of videos of each source.
    weights: relative share of each source; None makes all videos equally likely.
    replacement: draw the samples of an epoch independently; otherwise no video
      occurs twice within an epoch.
    samples_per_epoch: number of samples; None takes as many as there are before the
      first source is exhausted (without `weights`: every video once).
    seed: of the random order.
  """

  sizes: tuple[int, ...]
  weights: tuple[float, ...] | None = None
  replacement: bool = False
  samples_per_epoch: int | None = None
  seed: int = 0

  def __post_init__(self):
    weights = self.weights
    if not self.sizes or min(self.sizes) < 1:
      raise ValueError(
        f"sources: got sizes {self.sizes}, every source needs at least one video."
      )
    if weights is not None and (
      len(weights) != len(self.sizes) or not all(w > 0 for w in weights)
    ):
      raise ValueError(
        f"weights: got {weights} for {len(self.sizes)} sources, expected one "
        "positive number each."
      )
    length, total = self.samples_per_epoch, sum(self.sizes)
    if length is not None and (length < 1 or (length > total and not self.replacement)):
      raise ValueError(
        f"samples_per_epoch: got {length} with {total} videos; it must be at least 1, "
        f"and at most {total} unless replacement=True."
      )

  @functools.cached_property
  def epoch_length(self) -> int:
    """Number of samples in an epoch."""
    if self.samples_per_epoch is not None:
      return self.samples_per_epoch
    if self.weights is None:
      return sum(self.sizes)
    shares = np.asarray(self.weights) / sum(self.weights)
    return max(1, int(min(np.asarray(self.sizes) / shares) + 1e-6))

  def __getitem__(self, k: int) -> tuple[int, int]:
    """(source, video) of sample `k`, counted from the start of the feed."""
    epoch, position = divmod(int(k), self.epoch_length)
    return self._locate(int(_epoch(self, epoch)[position]))

  def _locate(self, item: int) -> tuple[int, int]:
    ends = np.cumsum(self.sizes)
    source = int(np.searchsorted(ends, item, side="right"))
    return source, item - int(ends[source]) + self.sizes[source]


@functools.lru_cache(maxsize=16)  # of several feeds and their sources
def _epoch(order: Order, epoch: int) -> np.ndarray:
  """The videos of an epoch, numbered across all sources."""
  rng = np.random.default_rng((order.seed, epoch))
  weights = order.sizes if order.weights is None else order.weights
  probability = np.repeat(np.asarray(weights) / order.sizes, order.sizes)
  probability /= probability.sum()
  if order.replacement:
    return rng.choice(probability.size, order.epoch_length, p=probability)
  # An exponential race has the distribution of drawing one by one without replacement.
  finish = rng.exponential(size=probability.size) / probability
  return np.argsort(finish, kind="stable")[: order.epoch_length]


@dataclasses.dataclass(frozen=True)
class _Samples:
  """Random access to sample k of a feed: what grain reads, and sends to workers."""

  sources: tuple[RandomAccessDataSource, ...]
  order: Order
  transforms: tuple[tuple[Any, ...], ...]  # one sequence per source
  length: int

  def __len__(self) -> int:
    return self.length

  def __getitem__(self, k: int) -> Clip:
    """Sample `k`; an unsuitable video is replaced by the next one of the order."""
    rng = np.random.default_rng((self.order.seed, int(k), 1))
    unsuitable = []
    for candidate in range(k, k + _MAX_TRIES):
      source, index = self.order[candidate]
      element = video = self.sources[source][index]
      for transform in self.transforms[source]:
        element = transform.random_map(element, rng)
        if element is None:
          unsuitable.append(video.name)
          break
      else:
        return element
    raise ValueError(
      f"sources: {_MAX_TRIES} videos in a row are too short or show no object "
      f"large enough, e.g. {sorted(set(unsuitable))[:5]}. Shorten the clips or lower "
      "the minimal object size in the transforms."
    )


def _stack(clips: Sequence[Clip]) -> dict[str, Any]:
  shapes = {clip["frames"].shape for clip in clips}
  if len(shapes) > 1:
    raise ValueError(
      f"transforms: clips of different shapes {sorted(shapes)} in one batch "
      f"({', '.join(clip['name'] for clip in clips)}). Add Resize(size)."
    )
  batch: dict[str, Any] = {
    "frames": np.stack([clip["frames"] for clip in clips]),
    "labels": np.stack([clip["labels"] for clip in clips]),
    "names": [clip["name"] for clip in clips],
  }
  if "classes" in clips[0]:
    batch["classes"] = np.stack([clip["classes"] for clip in clips])
  return batch


def _start_worker(index: int, count: int) -> None:
  """Makes a worker end with the process that started it, and not before."""
  del index, count
  children.end_with_parent()


def num_threads() -> int:
  """Number of decoding threads where there are no worker processes."""
  return min(4, cores.available())
