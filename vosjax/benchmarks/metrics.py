"""Benchmark of J, F, T and whole evaluations, compared with the official toolkits.

The masks are synthetic. Only time is measured: tests check that the values agree with
the toolkits'.
"""

import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from vosjax import metrics
from vosjax.evaluation import evaluate
from vosjax.evaluation.mask_files import MaskFiles
from vosjax.media.write import write_labels

# Milliseconds on one modern core, as stated by the official toolkits: per object and
# frame; per proposal, object and frame (unsupervised); per pair of frames (stability).
OFFICIAL = {
  "region": 0.6,
  "contour": 3.7,
  "semi_supervised": 28.0,
  "unsupervised": 12.0,
  "stability": 320.0,  # for contours as long as the one drawn here; up to 1100
}
_NAMES = {
  "region": "J, per object and frame",
  "contour": "F, per object and frame",
  "semi_supervised": "semi-supervised, per object and frame",
  "unsupervised": "unsupervised, per proposal, object, frame",
  "stability": "T, per pair of frames",
}
NUM_PROPOSALS = 20
STABILITY_RADIUS = 60.0  # pixels; gives a contour of some 300 points
_REPEATS = 3


def measure(
  *,
  size: tuple[int, int] = (480, 854),
  objects: int = 2,
  frames: int = 20,
  progress: Callable[[str], None] | None = None,
) -> dict[str, Any]:
  """Times the metrics on arrays, and whole evaluations from PNG files to scores.

  Args:
    size: height and width of the masks in pixels.
    objects: number of objects in each frame.
    frames: length of the synthetic video, three or more.
    progress: called with the name of each part of the measurement before it starts.

  Returns:
    `device`; `milliseconds` by name, per unit of `OFFICIAL`; `official_milliseconds`;
    `times_faster`, the ratio of the two; and the arguments.
  """
  report = progress or (lambda _: None)
  truth = draw(size, frames, objects, seed=0)
  predicted = draw(size, frames, objects, seed=0, wobble=3.0)
  report("region and contour")
  pairs = [
    (p == i, t == i) for p, t in zip(predicted, truth) for i in range(1, objects + 1)
  ]
  milliseconds = {
    "region": _median_ms(metrics.region_similarity, pairs),
    "contour": _median_ms(metrics.contour_accuracy, pairs),
  }
  report("stability")
  alone = draw(size, frames, 1, seed=0, radius=STABILITY_RADIUS, wobble=1.0) == 1
  milliseconds["stability"] = _median_ms(metrics.temporal_stability, [(alone,)]) / (
    frames - 1
  )
  with tempfile.TemporaryDirectory() as folder:
    report("semi_supervised")
    files = _write(Path(folder) / "semi", predicted, truth)
    milliseconds["semi_supervised"] = _median_ms(
      evaluate.evaluate_files, [("davis2017", [files])]
    ) / (frames * objects)
    report("unsupervised")
    proposals = draw(size, frames, NUM_PROPOSALS, seed=1)
    files = _write(Path(folder) / "proposals", proposals, truth)
    milliseconds["unsupervised"] = _median_ms(
      evaluate.evaluate_files, [("davis2017-unsupervised", [files])]
    ) / (frames * objects * NUM_PROPOSALS)
  return {
    "device": platform.processor() or platform.machine(),
    "size": list(size),
    "objects": objects,
    "frames": frames,
    "milliseconds": milliseconds,
    "official_milliseconds": OFFICIAL,
    "times_faster": {k: OFFICIAL[k] / ms for k, ms in milliseconds.items()},
  }


def table(result: Mapping[str, Any]) -> str:
  """Formats the result of `measure` for a terminal."""
  rows, columns = result["size"]
  lines = [
    f"metrics, {rows}x{columns}, {result['objects']} object(s), {result['frames']} "
    f"frames, on {result['device']}",
    f"{'':<44}{'here':>10}{'official':>11}{'faster':>9}",
  ]
  for key, name in _NAMES.items():
    lines.append(
      f"  {name:<42}{result['milliseconds'][key]:>7.2f} ms"
      f"{result['official_milliseconds'][key]:>8.1f} ms"
      f"{result['times_faster'][key]:>7.1f} x"
    )
  return "\n".join(lines)


def draw(
  size: tuple[int, int],
  frames: int,
  objects: int,
  *,
  seed: int,
  radius: float | None = None,
  wobble: float = 0.0,
) -> UInt8[np.ndarray, "{frames} {size[0]} {size[1]}"]:
  """Draws drifting blobs with ragged outlines; later ones cover earlier ones.

  Args:
    size: height and width in pixels.
    frames: number of frames.
    objects: number of blobs, with ids from 1.
    seed: of the blobs; the wobble does not depend on it.
    radius: mean radius in pixels; by default it depends on the number of objects.
    wobble: distance in pixels by which outlines deviate, for predictions.
  """
  rng = np.random.default_rng(seed)
  rows, columns = np.mgrid[: size[0], : size[1]].astype(np.float32)
  radius = radius or 0.3 * np.sqrt(size[0] * size[1] / max(4, objects))
  labels = np.zeros((frames, *size), np.uint8)
  for i in range(1, objects + 1):
    center, speed = rng.uniform(0.2, 0.8, 2) * size, rng.uniform(-3, 3, 2)
    waves = list(zip((2, 3, 5, 9, 17, 31), rng.uniform(0, 2 * np.pi, 6)))
    for t in range(frames):
      y, x = center + t * speed
      angle = np.arctan2(rows - y, columns - x)
      bumps = sum(np.sin(k * angle + wave + t / 9) for k, wave in waves)
      reach = radius * (1 + 0.08 * bumps) + wobble * np.sin(23 * angle + t)
      labels[t][np.hypot(rows - y, columns - x) < reach] = i
  return labels


def _write(
  folder: Path,
  predicted: UInt8[np.ndarray, "t h w"],
  truth: UInt8[np.ndarray, "t h w"],
) -> MaskFiles:
  """Writes the PNGs of a video, for evaluation."""

  def write(name: str, volume: UInt8[np.ndarray, "t h w"]) -> tuple[Path, ...]:
    (folder / name).mkdir(parents=True)
    paths = tuple(folder / name / f"{t:05d}.png" for t in range(len(volume)))
    for path, labels in zip(paths, volume):
      write_labels(path, labels)
    return paths

  return MaskFiles(folder.name, write("truth", truth), write("prediction", predicted))


def _median_ms(function: Callable[..., Any], arguments: Sequence[tuple]) -> float:
  """Median milliseconds per call, over all arguments and `_REPEATS` repetitions."""
  durations = []
  for args in [*arguments] * _REPEATS:
    began = time.perf_counter()
    function(*args)
    durations.append(time.perf_counter() - began)
  return 1e3 * statistics.median(durations)
