"""How fast J, F, T and whole evaluations run here, beside the official toolkits.

Masks are drawn; results are those of any other masks, bit for bit the toolkits' (tests
hold them to that), so only time is measured here.
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
from vosjax.evaluation.mask_folders import MaskFiles
from vosjax.media.write import write_labels

# Milliseconds that the official toolkits state on a modern core: of one object in one
# frame, of one proposal with one object in one frame, of two frames.
OFFICIAL = {
  "region": 0.6,
  "contour": 3.7,
  "semi_supervised": 28.0,
  "unsupervised": 12.0,
  "stability": 320.0,  # of contours as long as the one drawn here; up to 1100
}
_NAMES = {
  "region": "J of an object in a frame",
  "contour": "F of an object in a frame",
  "semi_supervised": "semi-supervised, PNGs to table, likewise",
  "unsupervised": "unsupervised, for each proposal, likewise",
  "stability": "T of two frames",
}
NUM_PROPOSALS = 20
STABILITY_RADIUS = 60.0  # of a contour of some 300 points
_REPEATS = 3


def measure(
  *,
  size: tuple[int, int] = (480, 854),
  objects: int = 2,
  frames: int = 20,
  progress: Callable[[str], None] | None = None,
) -> dict[str, Any]:
  """Times the measures on arrays, and the protocols from PNG files to tables.

  Args:
    size: rows and columns of the masks.
    objects: in each frame.
    frames: of the drawn video, three or more.
    progress: told what is done next, if given.

  Returns:
    `device`; `milliseconds` by name, in the units of `OFFICIAL`; `times_faster` than
    these, likewise; and the arguments.
  """
  report = progress or (lambda _: None)
  truth = draw(size, frames, objects, seed=0)
  predicted = draw(size, frames, objects, seed=0, wobble=3.0)
  report("region and contour")
  pairs = [
    (p == i, t == i) for p, t in zip(predicted, truth) for i in range(1, objects + 1)
  ]
  milliseconds = {
    "region": _median(metrics.region_similarity, pairs),
    "contour": _median(metrics.contour_accuracy, pairs),
  }
  report("stability")
  alone = draw(size, frames, 1, seed=0, radius=STABILITY_RADIUS, wobble=1.0) == 1
  milliseconds["stability"] = _median(metrics.temporal_stability, [(alone,)]) / (
    frames - 1
  )
  with tempfile.TemporaryDirectory() as folder:
    report("semi_supervised")
    files = _write(Path(folder) / "semi", predicted, truth)
    milliseconds["semi_supervised"] = _median(
      evaluate.evaluate_files, [("davis2017", [files])]
    ) / (frames * objects)
    report("unsupervised")
    proposals = draw(size, frames, NUM_PROPOSALS, seed=1)
    files = _write(Path(folder) / "proposals", proposals, truth)
    milliseconds["unsupervised"] = _median(
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
  """The figures of `measure`, for a terminal."""
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
  """Labels of blobs with ragged outlines that drift; later ones cover earlier ones.

  Args:
    size: rows and columns.
    frames: how many.
    objects: how many.
    seed: of everything but the wobble.
    radius: of a blob, in pixels; by default as fits their number.
    wobble: pixels by which outlines are off.
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


def _write(folder, predicted, truth) -> MaskFiles:
  """The PNGs of a sequence, as an evaluation finds them."""
  paths = {}
  for kind, labels in (("truth", truth), ("prediction", predicted)):
    (folder / kind).mkdir(parents=True)
    paths[kind] = tuple(folder / kind / f"{t:05d}.png" for t in range(len(labels)))
    for path, one in zip(paths[kind], labels):
      write_labels(path, one)
  return MaskFiles(folder.name, **paths)


def _median(measured: Callable[..., Any], arguments: Sequence[tuple]) -> float:
  """Milliseconds of a call, the median over all arguments and some repetitions."""
  durations = []
  for args in [*arguments] * _REPEATS:
    began = time.perf_counter()
    measured(*args)
    durations.append(time.perf_counter() - began)
  return 1e3 * statistics.median(durations)
