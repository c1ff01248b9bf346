"""How fast training's clips come, beside what their pictures take by themselves."""

import functools
import itertools
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from PIL import Image

from vosjax.data import images, pipeline, transforms
from vosjax.data.folders import DavisFolder
from vosjax.data.synthvos import SynthVos

CLIP_LENGTH = 8
BATCH_SIZE = 4


def measure(
    size: tuple[int, int] = (480, 854), *, steps: int = 16, rounds: int = 5
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
  lines = [f"{'frames per second':<20}{'own size':>12}{'half size':>12}"]
  for key in ("pipeline", "decoder", "resizer"):
    lines.append(f"{key:<20}" + "".join(f"{c[key]:12.0f}" for c in result.values()))
  for key in ("fraction_of_decoder", "fraction_of_resizer"):
    text = key.replace("_", " ")
    lines.append(f"{text:<20}" + "".join(f"{c[key]:12.2f}" for c in result.values()))
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
  also resized, in as many threads and with nothing else. In turn, because a machine's
  speed changes; fractions are medians of the rounds', which are paired.

  Args:
    source: videos of one size.
    size: rows and columns to which A-GAME's first stage resizes clips; None: the
      frames' own, and no zoom, so that nothing is resampled.
    steps: batches in a round.
    rounds: how many.

  Returns:
    `pipeline`, `decoder` and `resizer` (which also decodes) in frames per second, and
    `fraction_of_decoder` and `fraction_of_resizer`.
  """
  count = steps * BATCH_SIZE * CLIP_LENGTH
  prepare = functools.partial(_resize, size=size) if size else None
  rounds_seen = []
  for seed in range(rounds):
    seconds = {
        "decoder": _time_pictures(source, count, None),
        "pipeline": _time_pipeline(source, _chain(size), steps, seed),
        "resizer": _time_pictures(source, count, prepare),
    }
    rounds_seen.append({name: count / value for name, value in seconds.items()})
  result = {
      name: statistics.median(rates[name] for rates in rounds_seen)
      for name in ("pipeline", "decoder", "resizer")
  }
  for name in ("decoder", "resizer"):
    fractions = [rates["pipeline"] / rates[name] for rates in rounds_seen]
    result[f"fraction_of_{name}"] = statistics.median(fractions)
  return result


def _chain(size: tuple[int, int] | None) -> list[Any]:
  chain = [
      transforms.SampleClip(CLIP_LENGTH, size=size),
      transforms.ChooseObject(),
      transforms.RandomFlip(),
  ]
  return [*chain, transforms.RandomZoom()] if size else chain


def _time_pipeline(
    source: DavisFolder, chain: Sequence[Any], steps: int, seed: int
) -> float:
  batches = pipeline.batches(
      [source], None, chain, batch_size=BATCH_SIZE, seed=seed, num_steps=steps
  )
  began = time.perf_counter()
  for _ in batches:
    pass
  return time.perf_counter() - began


def _time_pictures(
    source: DavisFolder, count: int, prepare: Callable[[Any], Any] | None
) -> float:
  pairs = [pair for v in source.videos for pair in zip(v.frame_files, v.label_files)]
  chosen = list(itertools.islice(itertools.cycle(pairs), count))

  def read(pair):
    for picture in (images.read_image(pair[0]), images.read_labels(pair[1])):
      if prepare:
        prepare(picture)

  with ThreadPoolExecutor(pipeline.num_threads()) as pool:
    began = time.perf_counter()
    list(pool.map(read, chosen))
    return time.perf_counter() - began


def _resize(picture, size):
  resample = (
      Image.Resampling.BILINEAR if picture.ndim == 3 else Image.Resampling.NEAREST
  )
  Image.fromarray(picture).resize(size[::-1], resample)
