"""Benchmark of the input pipeline, compared with decoding and resizing alone."""

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
from vosjax.data.codecs import images, label_images
from vosjax.data.formats.davis import DavisFolder
from vosjax.data.synthvos import SynthVos
from vosjax.data.transforms import clips

CLIP_LENGTH = 8
BATCH_SIZE = 4
CASES = ("pipeline", "decoder", "resizer")
FRACTIONS = (
  "fraction_of_decoder",
  "fraction_of_resizer",
  "cpu_fraction_of_decoder",
  "cpu_fraction_of_resizer",
)


class _Seconds(NamedTuple):
  """Duration of a round: wall-clock time, and processor time of all threads."""

  wall: float
  cpu: float


def measure(
  size: tuple[int, int] = (480, 854), *, steps: int = 16, rounds: int = 7
) -> dict[str, dict[str, float]]:
  """Generates videos and measures how fast they are read; see `measure_folder`.

  Args:
    size: rows and columns of the generated frames.
    steps: batches per round.
    rounds: number of rounds.

  Returns:
    The results of two cases: clips in the size of the frames, and resized to half of
    it, as in the first stage of A-GAME.
  """
  halved = (size[0] // 2, size[1] // 2)
  with tempfile.TemporaryDirectory() as folder:
    source = write_folder(Path(folder), size=size)
    return {
      name: measure_folder(source, target, steps=steps, rounds=rounds)
      for name, target in (("full size", None), ("half size", halved))
    }


def table(result: Mapping[str, Mapping[str, float]]) -> str:
  """Formats the result of `measure` for a terminal."""
  lines = [f"{'frames per second':<28}{'full size':>12}{'half size':>12}"]
  for key in (*CASES, *FRACTIONS):
    form = "12.0f" if key in CASES else "12.2f"
    figures = "".join(format(case[key], form) for case in result.values())
    lines.append(f"{key.replace('_', ' '):<28}{figures}")
  return "\n".join(lines)


def write_folder(
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
  """Times batches of clips, alternating with decoding and resizing their images alone.

  Decoding and resizing use the pipeline's functions and number of threads. Since the
  speed of a machine varies, the three alternate, and fractions are medians over the
  rounds. Processor time is compared as well, because other processes hardly affect it.

  Args:
    source: videos of one size.
    size: rows and columns to which the first stage of A-GAME resizes clips; None keeps
      the size of the frames, without zoom, so that nothing is resampled.
    steps: batches per round.
    rounds: number of rounds.

  Returns:
    `pipeline`, `decoder` and `resizer` (which also decodes) in frames per second;
    `fraction_of_decoder` and `fraction_of_resizer`, the pipeline's speed as a fraction
    of theirs; and the same with the prefix `cpu_` for processor time.
  """
  count = steps * BATCH_SIZE * CLIP_LENGTH
  measured = [
    {
      "decoder": _time_images(source, count, None),
      "pipeline": _time_pipeline(source, _transforms(size), steps, seed),
      "resizer": _time_images(source, count, size),
    }
    for seed in range(rounds)
  ]
  result = {
    case: statistics.median(count / seconds[case].wall for seconds in measured)
    for case in CASES
  }
  for case in ("decoder", "resizer"):
    pairs = [(seconds[case], seconds["pipeline"]) for seconds in measured]
    result[f"fraction_of_{case}"] = statistics.median(a.wall / b.wall for a, b in pairs)
    result[f"cpu_fraction_of_{case}"] = statistics.median(
      a.cpu / b.cpu for a, b in pairs
    )
  return result


def _transforms(size: tuple[int, int] | None) -> list[Any]:
  sample = clips.SampleClip(CLIP_LENGTH)
  change = [clips.ChooseObject(), clips.RandomFlip()]
  if size is None:
    return [sample, *change]
  return [sample, clips.Resize(size), *change, clips.RandomZoom()]


def _time_pipeline(
  source: DavisFolder, transforms: Sequence[Any], steps: int, seed: int
) -> _Seconds:
  """Times batches in the steady state: others are in progress before and after them."""
  lead = pipeline.num_threads() + 2  # more than the pipeline prefetches
  batches = pipeline.batches(
    [source],
    None,
    transforms,
    batch_size=BATCH_SIZE,
    seed=seed,
    num_steps=lead + steps + lead,
  )
  _exhaust(itertools.islice(batches, lead))
  seconds = _time(lambda: itertools.islice(batches, steps))
  _exhaust(batches)
  return seconds


def _time_images(
  source: DavisFolder, count: int, size: tuple[int, int] | None
) -> _Seconds:
  pairs = [pair for v in source.videos for pair in zip(v.frame_files, v.label_files)]
  chosen = itertools.islice(itertools.cycle(pairs), count)

  def read(pair):
    frame, labels = images.read_image(pair[0]), label_images.read_labels(pair[1])
    if size:
      for array, resample in (
        (frame, Image.Resampling.BILINEAR),
        (labels, Image.Resampling.NEAREST),
      ):
        np.asarray(Image.fromarray(array).resize(size[::-1], resample))

  with ThreadPoolExecutor(pipeline.num_threads()) as pool:
    return _time(lambda: pool.map(read, chosen))


def _time(start: Callable[[], Iterable[Any]]) -> _Seconds:
  """Times `start` and the iteration over everything that it returns."""
  wall, cpu = time.perf_counter(), time.process_time()
  _exhaust(start())
  return _Seconds(time.perf_counter() - wall, time.process_time() - cpu)


def _exhaust(items: Iterable[Any]) -> None:
  collections.deque(items, maxlen=0)
