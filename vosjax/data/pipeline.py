"""Sources, transforms and batching as one iterator that resumes from a step.

Sample k of a run is a function of (seed, k) alone: its video comes from the
order of its epoch, its randomness from a generator of its own. So the number of
workers, the number of processes and the step a run resumes from change nothing.
"""

import dataclasses
import functools
import os
from collections.abc import Iterator, Sequence
from typing import Any

import grain
import numpy as np
from absl import flags

from vosjax.data.buffer_pool import Recycler
from vosjax.data.video import Clip, Source

_MAX_TRIES = 100  # videos to try for one sample before the data is called unfit


@dataclasses.dataclass(frozen=True)
class Order:
  """Which video each sample comes from: a random order for every epoch.

  Attributes:
    sizes: number of videos of each source.
    weights: relative share of each source; None: by size, i.e. all videos of
      all sources alike.
    replacement: draw the samples of an epoch independently; otherwise no video
      comes twice within an epoch.
    samples_per_epoch: None: as many as fit before the first source runs out
      (with `weights` None: every video once).
    seed: of the order.
  """

  sizes: tuple[int, ...]
  weights: tuple[float, ...] | None = None
  replacement: bool = False
  samples_per_epoch: int | None = None
  seed: int = 0

  def __post_init__(self):
    weights = self.weights
    if not self.sizes or min(self.sizes) < 1:
      raise ValueError(f"sources: got sizes {self.sizes}, every source needs a video.")
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
        f"samples_per_epoch: got {length} with {total} videos; without "
        f"replacement it must be 1 to {total}."
      )

  @functools.cached_property
  def epoch_length(self) -> int:
    """Number of samples of an epoch."""
    if self.samples_per_epoch is not None:
      return self.samples_per_epoch
    if self.weights is None:
      return sum(self.sizes)
    shares = np.asarray(self.weights) / sum(self.weights)
    return max(1, int(min(np.asarray(self.sizes) / shares) + 1e-6))

  def __getitem__(self, k: int) -> tuple[int, int]:
    """(source, video) of sample `k`, counted from the start of the run."""
    epoch, position = divmod(int(k), self.epoch_length)
    return self._locate(int(_epoch(self, epoch)[position]))

  def _locate(self, item: int) -> tuple[int, int]:
    ends = np.cumsum(self.sizes)
    source = int(np.searchsorted(ends, item, side="right"))
    return source, item - int(ends[source]) + self.sizes[source]


@functools.lru_cache(maxsize=4)
def _epoch(order: Order, epoch: int) -> np.ndarray:
  """The videos of an epoch, numbered through all sources."""
  rng = np.random.default_rng((order.seed, epoch))
  weights = order.sizes if order.weights is None else order.weights
  chance = np.repeat(np.asarray(weights) / order.sizes, order.sizes)
  chance /= chance.sum()
  if order.replacement:
    return rng.choice(chance.size, order.epoch_length, p=chance)
  # An exponential race: the same law as drawing one by one without replacement.
  finish = rng.exponential(size=chance.size) / chance
  return np.argsort(finish, kind="stable")[: order.epoch_length]


@dataclasses.dataclass(frozen=True)
class _Samples:
  """Random access to sample k of a run; what grain reads and ships to workers."""

  sources: tuple[Source, ...]
  order: Order
  transforms: tuple[tuple[Any, ...], ...]  # of each source
  length: int

  def __len__(self) -> int:
    return self.length

  def __getitem__(self, k: int) -> Clip:
    """Sample `k`; an unfit video gives way to the next one of the order."""
    rng = np.random.default_rng((self.order.seed, int(k), 1))
    unfit = []
    for candidate in range(k, k + _MAX_TRIES):
      source, index = self.order[candidate]
      element = video = self.sources[source][index]
      for transform in self.transforms[source]:
        element = transform.random_map(element, rng)
        if element is None:
          unfit.append(video.name)
          break
      else:
        return element
    raise ValueError(
      f"sources: {_MAX_TRIES} videos in a row are too short or show no object "
      f"large enough, e.g. {sorted(set(unfit))[:5]}. Shorten the clips or lower "
      "the object size in the transforms."
    )


def batches(
  sources: Sequence[Source],
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
  """Batches of the steps `start_step` .. `num_steps` - 1 of a run.

  Args:
    sources: where the videos are.
    weights: relative share of each source; None: by size.
    transforms: applied in turn, the first to a video; each has
      `random_map(element, rng)` and may return None to pass a video over. Either
      one sequence for all sources, or one for each.
    batch_size: clips of a batch of this process.
    seed: with the step it determines every batch.
    start_step: first step wanted; resuming needs nothing else.
    num_steps: length of the whole run, in steps.
    num_workers: decoding processes; 0: threads in the background.
    shard: (index, count) of this process. The processes' batches together are
      the batch of one process with `count` times the batch size.
    replacement: see `Order`.
    samples_per_epoch: see `Order`.

  Yields:
    `frames` uint8 [b t h w 3], `labels` uint8 [b t h w], `names` of the clips, and
    `classes` uint8 [b g] where the transforms add them.

  Raises:
    ValueError: an argument is out of range, or a file is unfit; names it.
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
  # A thread makes a whole batch: pictures are decoded straight into its arrays.
  stack = functools.partial(_stack, recycler=Recycler())
  dataset = dataset.batch(batch_size, batch_fn=stack).to_iter_dataset(
    grain.ReadOptions(num_threads=threads, prefetch_buffer_size=threads + 1)
  )
  if num_workers:
    if not flags.FLAGS.is_parsed():  # grain's workers read flags
      flags.FLAGS.mark_as_parsed()
    dataset = dataset.mp_prefetch(
      grain.MultiprocessingOptions(num_workers=num_workers, per_worker_buffer_size=1)
    )
  return iter(dataset)


def num_threads() -> int:
  """Threads that decode where there are no worker processes."""
  return min(4, os.cpu_count() or 1)


def _stack(clips: Sequence[Clip], recycler: Recycler) -> dict[str, Any]:
  shapes = {clip["frames"].shape for clip in clips}
  if len(shapes) > 1:
    raise ValueError(
      f"transforms: clips of different shapes {sorted(shapes)} in one batch "
      f"({', '.join(clip['name'] for clip in clips)}). Add Resize(size)."
    )
  batch = {}
  for kind in ("frames", "labels"):
    batch[kind] = recycler.empty(len(clips), *clips[0][kind].shape)
    for clip, places in zip(clips, batch[kind]):
      for t, place in enumerate(places):
        place[...] = clip[kind][t]
  if "classes" in clips[0]:
    batch["classes"] = np.stack([clip["classes"] for clip in clips])
  return batch | {"names": [clip["name"] for clip in clips]}
