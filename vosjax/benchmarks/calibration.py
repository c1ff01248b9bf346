"""Fits the scores of `FrameResult` to J, and measures how good they are.

The fit is to procedural video alone, as the weights are; real video only tells how good
it is. `python -m vosjax.benchmarks.calibration --davis DIR` prints the constants that
stand in `vosjax/inference/confidence.py` and the tables of the documentation.
"""

import argparse
import dataclasses
import pathlib
import sys
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from vosjax import metrics, weights
from vosjax.data.formats.davis import DavisFolder
from vosjax.data.synthvos import REAL, SynthVos
from vosjax.data.video import Video
from vosjax.inference import confidence
from vosjax.inference.engine import VideoSegmenter
from vosjax.inference.frame_result import LOST_BELOW
from vosjax.labels import VOID, find_ids

NUM_FOLDS = 4
BINS = (0.0, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


class Sample(NamedTuple):
  """One object in one frame.

  Attributes:
    fold: of its video; all samples of a video are in one fold.
    evidence: see `confidence.evidence`.
    overlap: J of its mask.
  """

  fold: int
  evidence: Float[np.ndarray, " e"]
  overlap: float


class Summary(NamedTuple):
  """How good scores are.

  Attributes:
    error: mean absolute difference from J.
    auc: probability that a lost object (J < 0.5) has a lower score than another one;
      NaN without both kinds.
    flagged: objects with a score below `LOST_BELOW`.
    lost: objects with J < 0.5.
    found: lost objects that are flagged.
    bins: number of objects, mean score and mean J for each two neighbours in BINS.
  """

  error: float
  auc: float
  flagged: int
  lost: int
  found: int
  bins: list[tuple[int, float, float]]


def main() -> None:
  """Collects, fits and prints."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("--davis", type=pathlib.Path, help="root of DAVIS 2016, 240p")
  parser.add_argument("--videos", type=int, default=60, help="of SynthVOS")
  parser.add_argument("--out", type=pathlib.Path, help="SVG of the reliability diagram")
  args = parser.parse_args()
  segmenter = VideoSegmenter(*weights.load("agame-lite"))
  synthetic = SynthVos(
    seed=9000, num_videos=args.videos, length=12, size=(240, 432),
    **dataclasses.asdict(REAL),
  )  # fmt: skip
  samples = collect(segmenter, synthetic, 12)
  beta = fit(samples)
  constants = tuple(round(float(x), 2) for x in beta)
  sys.stdout.write(f"CALIBRATION = {constants}\n")
  summaries = {"SynthVOS": summarize(cross_validate(samples), samples)}
  if args.davis is not None:
    davis = DavisFolder(args.davis, subset="train", year=2016, resolution="240p")
    real = collect(segmenter, davis, 22, strides=(1, 2, 3))
    summaries["DAVIS"] = summarize(score(real, beta), real)
  for name, summary in summaries.items():
    sys.stdout.write(f"{name}: {summary}\n")
  if args.out is not None:
    args.out.write_text(draw(summaries))


def collect(
  segmenter: VideoSegmenter,
  videos: Iterable[Video],
  length: int,
  strides: Sequence[int] = (1,),
) -> list[Sample]:
  """Follows the objects of the first frame of each video.

  Empty masks are left out: nothing tells whether their objects are hidden or lost, so
  that they have the lowest score either way.

  Args:
    segmenter: with calibrated evidence.
    videos: annotated; those whose first frame shows no object are left out.
    length: the largest number of frames.
    strides: every so many frames are used, in turn for each video.
  """
  samples = []
  for number, video in enumerate(videos):
    used = range(0, len(video), strides[number % len(strides)])[:length]
    labels = [np.asarray(video.labels(t)) for t in used]
    if not (ids := find_ids(labels[0])):
      continue
    results = segmenter.run([video.frame(t) for t in used], labels[0])
    for result, truth in list(zip(results, labels))[1:]:
      known = truth != VOID
      for i, found in zip(result.object_ids, result.evidence, strict=True):
        assert i in ids
        if not (mask := result.labels == i).any():
          continue
        overlap = metrics.region_similarity(mask & known, (truth == i) & known)
        samples.append(Sample(number % NUM_FOLDS, found, float(overlap)))
  return samples


def fit(samples: Sequence[Sample]) -> Float[np.ndarray, " n"]:
  """Logistic regression of J on the logits of evidence, by Newton's method.

  Returns:
    Weights of the evidence, and the bias.
  """
  x = confidence.logits(np.stack([sample.evidence for sample in samples]))
  x = np.concatenate([x, np.ones((len(x), 1))], axis=1)
  y = np.array([sample.overlap for sample in samples])
  beta = np.zeros(x.shape[1])
  for _ in range(30):
    p = 1 / (1 + np.exp(-x @ beta))
    curvature = (x * (p * (1 - p))[:, None]).T @ x
    beta += np.linalg.solve(curvature, x.T @ (y - p))
  return beta


def score(
  samples: Sequence[Sample], beta: Float[np.ndarray, " n"]
) -> Float[np.ndarray, " s"]:
  """Scores of samples by a fit."""
  x = confidence.logits(np.stack([sample.evidence for sample in samples]))
  return 1 / (1 + np.exp(-(x @ beta[:-1] + beta[-1])))


def cross_validate(samples: Sequence[Sample]) -> Float[np.ndarray, " n"]:
  """Scores of samples by fits that have not seen their videos."""
  scores = np.zeros(len(samples))
  for fold in range(NUM_FOLDS):
    inside = np.array([sample.fold == fold for sample in samples])
    beta = fit([sample for sample in samples if sample.fold != fold])
    scores[inside] = score([sample for sample in samples if sample.fold == fold], beta)
  return scores


def summarize(scores: Float[np.ndarray, " n"], samples: Sequence[Sample]) -> Summary:
  """Compares scores with J."""
  overlaps = np.array([sample.overlap for sample in samples])
  lost, flagged = overlaps < 0.5, scores < LOST_BELOW
  below = (scores[lost][:, None] < scores[~lost][None]).mean() if lost.any() else np.nan
  bins = []
  for low, high in zip(BINS, BINS[1:]):
    inside = (scores >= low) & (scores < high)
    if count := int(inside.sum()):
      means = scores[inside].mean(), overlaps[inside].mean()
      bins.append((count, round(float(means[0]), 3), round(float(means[1]), 3)))
  return Summary(
    round(float(np.abs(scores - overlaps).mean()), 3),
    round(float(below), 3),
    int(flagged.sum()),
    int(lost.sum()),
    int((flagged & lost).sum()),
    bins,
  )


def draw(summaries: dict[str, Summary]) -> str:
  """The reliability diagram as SVG: mean J over mean score, one line per source."""
  size, margin = 320, 40
  colors = ("#1f77b4", "#d62728")

  def at(x: float, y: float) -> str:
    return f"{margin + x * size:.1f},{margin / 2 + (1 - y) * size:.1f}"

  parts = [
    f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size + 2 * margin} '
    f'{size + 2 * margin}" font-family="sans-serif" font-size="13">',
    f'<rect width="100%" height="100%" fill="white"/>'
    f'<rect x="{margin}" y="{margin / 2}" width="{size}" height="{size}" fill="none" '
    'stroke="#888"/>',
    f'<polyline points="{at(0.0, 0.0)} {at(1.0, 1.0)}" stroke="#888" '
    'stroke-dasharray="4"/>',
  ]
  for tick in (0.0, 0.5, 1.0):
    x, y = at(tick, 0.0).split(",")
    parts.append(
      f'<text x="{x}" y="{float(y) + 16}" text-anchor="middle">{tick}</text>'
    )
    x, y = at(0.0, tick).split(",")
    parts.append(f'<text x="{float(x) - 6}" y="{y}" text-anchor="end">{tick}</text>')
  x, y = at(0.5, 0.0).split(",")
  parts.append(f'<text x="{x}" y="{float(y) + 34}" text-anchor="middle">score</text>')
  x, y = at(0.03, 0.93).split(",")
  parts.append(f'<text x="{x}" y="{y}">mean J</text>')
  for place, ((name, summary), color) in enumerate(zip(summaries.items(), colors)):
    points = " ".join(at(score, overlap) for _, score, overlap in summary.bins)
    parts.append(
      f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="2"/>'
    )
    parts += [
      f'<circle cx="{at(score, overlap).replace(",", chr(34) + " cy=" + chr(34))}" '
      f'r="{2 + count**0.25:.1f}" fill="{color}"/>'
      for count, score, overlap in summary.bins
    ]
    x, y = at(0.6, 0.15 - 0.06 * place).split(",")
    parts.append(f'<text x="{x}" y="{y}" fill="{color}">{name}</text>')
  return "\n".join([*parts, "</svg>", ""])


if __name__ == "__main__":
  main()
