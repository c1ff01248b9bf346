"""How fast training's clips come, beside what their pictures take by themselves."""

import collections
import itertools
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from vosjax.data import pipeline
from vosjax.data.codecs import images
from vosjax.data.formats.davis import DavisFolder
from vosjax.data.synthvos import SynthVos
from vosjax.data.transforms import clips

CLIP_LENGTH = 8
BATCH_SIZE = 4
CASES = ("pipeline", "decoder", "resizer")
FRACTIONS = {
  "fraction_of_decoder": ("decoder", "wall"),
  "fraction_of_resizer": ("resizer", "wall"),
  "cpu_fraction_of_decoder": ("decoder", "cpu"),
  "cpu_fraction_of_resizer": ("resizer", "cpu"),
}


class _Seconds(NamedTuple):
  """What a round took: by the clock, and of all processors together."""

  wall: float
  cpu: float


def measure(
  size: tuple[int, int] = (480, 854), *, steps: int = 16, rounds: int = 7
) -> dict[str, dict[str, float]]:
  """Draws videos and measures them; see `measure_folder`.

  Args:
    size: rows and columns of the drawn frames.
    steps: batches in a round.
    rounds: how many.

  Returns:
    Two cases by name: clips in the frames' size, and as A-GAME's first stage resizes
    them, to half of it.
  """
  halved = (size[0] // 2, size[1] // 2)
  with tempfile.TemporaryDirectory() as folder:
    source = draw_folder(Path(folder), size=size)
    return {
      name: measure_folder(source, target, steps=steps, rounds=rounds)
      for name, target in (("own size", None), ("half size", halved))
    }


def table(result: Mapping[str, Mapping[str, float]]) -> str:
  """The figures, aligned for a terminal."""
  lines = [f"{'frames per second':<28}{'own size':>12}{'half size':>12}"]
  for key in (*CASES, *FRACTIONS):
    form = "12.0f" if key in CASES else "12.2f"
    figures = "".join(format(case[key], form) for case in result.values())
    lines.append(f"{key.replace('_', ' '):<28}{figures}")
  return "\n".join(lines)


def draw_folder(
  root: Path, *, size: tuple[int, int], videos: int = 4, length: int = 16
) -> DavisFolder:
  """Writes procedural videos as JPEG and PNG in DAVIS layout."""
  source = SynthVos(0, videos, size=size, length=length, max_objects=3)
  names = []
  for index in range(videos):
    video = source[index]
    names.append(video.name)
    frames, labels = video.clip(0, length)
    for kind in ("JPEGImages", "Annotations"):
      (root / kind / "480p" / video.name).mkdir(parents=True)
    for t in range(length):
      file = f"480p/{video.name}/{t:05}"
      Image.fromarray(frames[t]).save(root / f"JPEGImages/{file}.jpg", quality=90)
      mask = Image.fromarray(labels[t])
      mask.putpalette(bytes(range(256)) * 3)
      mask.save(root / f"Annotations/{file}.png")
  (root / "ImageSets/2017").mkdir(parents=True)
  (root / "ImageSets/2017/train.txt").write_text("\n".join(names))
  return DavisFolder(str(root))


def measure_folder(
  source: DavisFolder, size: tuple[int, int] | None, *, steps: int, rounds: int
) -> dict[str, float]:
  """Times batches of clips, and in turn their pictures by themselves.

  Pictures by themselves are read and decoded, frames and masks, and in a second case
  also resized, as the pipeline does it, in as many threads and with nothing else. In
  turn, because a machine's speed changes; fractions are medians of the rounds', which
  are paired. The processors' time is compared, too: other jobs on the machine change
  it little.

  Args:
    source: videos of one size.
    size: rows and columns to which A-GAME's first stage resizes clips; None: the
      frames' own, and no zoom, so that nothing is resampled.
    steps: batches in a round.
    rounds: how many.

  Returns:
    `pipeline`, `decoder` and `resizer` (which also decodes) in frames per second,
    `fraction_of_decoder` and `fraction_of_resizer`, and the same with `cpu_` in front:
    processor time that the other takes, as a share of the pipeline's.
  """
  count = steps * BATCH_SIZE * CLIP_LENGTH
  rounds_seen = []
  for seed in range(rounds):
    rounds_seen.append(
      {
        "decoder": _time_pictures(source, count, None),
        "pipeline": _time_pipeline(source, _chain(size), steps, seed),
        "resizer": _time_pictures(source, count, size),
      }
    )
  result = {
    case: statistics.median(count / seen[case].wall for seen in rounds_seen)
    for case in CASES
  }
  for key, (other, clock) in FRACTIONS.items():
    result[key] = statistics.median(
      getattr(seen[other], clock) / getattr(seen["pipeline"], clock)
      for seen in rounds_seen
    )
  return result


def _chain(size: tuple[int, int] | None) -> list[Any]:
  sample = clips.SampleClip(CLIP_LENGTH)
  change = [clips.ChooseObject(), clips.RandomFlip()]
  if size is None:
    return [sample, *change]
  return [sample, clips.Resize(size), *change, clips.RandomZoom()]


def _time_pipeline(
  source: DavisFolder, chain: Sequence[Any], steps: int, seed: int
) -> _Seconds:
  """As in the midst of a run: before and after, as many batches are being made."""
  lead = pipeline.num_threads() + 2  # more than are made in advance
  batches = pipeline.batches(
    [source],
    None,
    chain,
    batch_size=BATCH_SIZE,
    seed=seed,
    num_steps=lead + steps + lead,
  )
  _exhaust(itertools.islice(batches, lead))
  seconds = _time(lambda: itertools.islice(batches, steps))
  _exhaust(batches)
  return seconds


def _time_pictures(
  source: DavisFolder, count: int, size: tuple[int, int] | None
) -> _Seconds:
  pairs = [pair for v in source.videos for pair in zip(v.frame_files, v.label_files)]
  chosen = itertools.islice(itertools.cycle(pairs), count)

  def read(pair):
    frame, labels = images.read_picture(pair[0]), images.read_labels(pair[1])
    if size:
      frame = frame.resize(size[::-1], Image.Resampling.BILINEAR)
      labels = Image.fromarray(labels).resize(size[::-1], Image.Resampling.NEAREST)
    np.asarray(frame), np.asarray(labels)

  with ThreadPoolExecutor(pipeline.num_threads()) as pool:
    return _time(lambda: pool.map(read, chosen))


def _time(start: Callable[[], Iterable[Any]]) -> _Seconds:
  """Goes through all items of what it starts."""
  wall, cpu = time.perf_counter(), time.process_time()
  _exhaust(start())
  return _Seconds(time.perf_counter() - wall, time.process_time() - cpu)


def _exhaust(items: Iterable[Any]) -> None:
  collections.deque(items, maxlen=0)
