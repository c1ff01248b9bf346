"""The benchmarks' rules: which frames and objects are scored, and what is averaged.

DAVIS protocols equal the public toolkits. The other data sets have no public scorer;
their rules below are the ones in common use.
"""

import dataclasses
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np
from jaxtyping import Integer

from vosjax import metrics
from vosjax.evaluation.results import Row, average
from vosjax.evaluation.scored_video import (
  Protocol,
  Video,
  merged_row,
  object_rows,
  split_void,
)

MAX_PROPOSALS = 20

# DAVIS 2016 sequences without heavy occlusion: T means something on these alone.
STABLE_SEQUENCES = frozenset(
  {
    "blackswan",
    "camel",
    "car-roundabout",
    "car-shadow",
    "cows",
    "drift-straight",
    "kite-surf",
    "paragliding-launch",
    "scooter-black",
    "soapbox",
    "bear",
    "boat",
    "bus",
    "car-turn",
    "dance-jump",
    "drift-turn",
    "elephant",
    "flamingo",
    "hike",
    "hockey",
    "kite-walk",
    "mallard-water",
    "motocross-bumps",
    "rhino",
    "stroller",
    "surf",
    "train",
  }
)


def davis2016(*, stability: bool = True) -> Protocol:
  """DAVIS 2016: objects merged, first and last frame left out, plain mean over videos.

  Args:
    stability: also measure T, on the sequences that the benchmark lists for it.
  """

  def score(video: Video) -> list[Row]:
    inner = slice(1, -1)
    row = merged_row(video, video.truth > 0, None, inner)
    if stability and video.name in STABLE_SEQUENCES:
      t = metrics.temporal_stability(video.prediction[inner] > 0)
      row = dataclasses.replace(row, stability=t)
    return [row]

  def summarize(rows: list[Row]) -> dict[str, float]:
    t = metrics.nan_mean(np.array([row.stability for row in rows]))
    return average(rows) | {"T-Mean": t}

  return Protocol(
    "davis2016",
    "objects merged; first and last frame left out; mean over sequences",
    score,
    summarize,
    scored=slice(1, -1),
  )


def davis2017() -> Protocol:
  """DAVIS 2017, semi-supervised: ids compared as they are, mean over all objects.

  First and last frame are left out; void counts as background.
  """

  def score(video: Video) -> list[Row]:
    truth, _ = split_void(video.truth)
    ids = range(1, first_frame_objects(truth) + 1)
    return object_rows(video, truth, ids, slice(1, -1))

  return Protocol(
    "davis2017",
    "same ids; first and last frame left out; mean over objects",
    score,
    scored=slice(1, -1),
    num_objects=first_frame_objects,
  )


def davis2017_unsupervised() -> Protocol:
  """DAVIS 2017, unsupervised: proposals matched to objects over the whole video.

  All frames count, void does not. Rows follow the order of the matched proposals.
  """

  def score(video: Video) -> list[Row]:
    truth, void = split_void(video.truth)
    num_objects = first_frame_objects(truth)
    num_proposals = max(int(video.prediction.max()), num_objects)
    scores = metrics.score_proposals(
      video.prediction, truth, num_proposals, num_objects, void
    )
    means = (scores.region.mean(-1) + scores.contour.mean(-1)) / 2
    return [
      Row(
        f"{video.name}_{k}",
        video.name,
        video.frames,
        scores.region[m, o],
        scores.contour[m, o],
        int(o) + 1,
        int(m) + 1,
      )
      for k, (m, o) in enumerate(zip(*metrics.match_proposals(means)), 1)
    ]

  return Protocol(
    "davis2017-unsupervised",
    "proposals matched over the whole video; all frames; mean over objects",
    score,
    num_objects=first_frame_objects,
    max_id=MAX_PROPOSALS,
  )


def youtube_vos(*, seen: Collection[str], skip_first: bool = True) -> Protocol:
  """YouTube-VOS: J and F over objects of seen and of unseen categories, and their mean.

  Convention (the scorer runs on a server): annotated frames from an object's first
  annotated one on; that one is given to the method and left out. Objects that first
  appear in the last annotated frame have no other frame and are not scored.

  Args:
    seen: categories of the training set.
    skip_first: leave out each object's first annotated frame.
  """
  seen = frozenset(seen)

  def score(video: Video) -> list[Row]:
    truth, void = split_void(video.truth)
    rows: list[Row] = []
    for i in np.unique(truth[truth > 0]).tolist():
      if i not in video.categories:
        raise ValueError(
          f"{video.name}: object {i} has no category. It comes from meta.json in the "
          "folder of the data set."
        )
      start = int((truth == i).any((1, 2)).argmax()) + skip_first
      if start < len(truth):
        rows += object_rows(video, truth, [i], slice(start, None), void)
    return rows

  def summarize(rows: list[Row]) -> dict[str, float]:
    parts = {}
    for measure in ("j", "f"):
      for group, wanted in (("Seen", True), ("Unseen", False)):
        values = [
          getattr(row, measure).mean for row in rows if (row.category in seen) == wanted
        ]
        parts[f"{measure.upper()}-{group}"] = metrics.nan_mean(np.array(values))
    return {"G": float(np.mean(list(parts.values())))} | parts

  first = "first frame of each object left out" if skip_first else "first frames count"
  return Protocol(
    "youtube-vos",
    f"annotated frames from an object's first on; {first}; mean over objects",
    score,
    summarize,
    slice(int(skip_first), None),
    num_objects=largest_id,
  )


def fbms() -> Protocol:
  """FBMS: objects merged, all annotated frames, mean over sequences (convention)."""
  return Protocol(
    "fbms",
    "objects merged; all annotated frames; mean over sequences",
    _score_foreground,
  )


def youtube_objects() -> Protocol:
  """YouTube-Objects: objects merged, all annotated frames, two averages (convention).

  The usual table calls its last line an average over videos, though most of its
  columns average the ten categories: both are given.
  """

  def score(video: Video) -> list[Row]:
    category = category_of(video.name)
    return [
      dataclasses.replace(row, category=category) for row in _score_foreground(video)
    ]

  def summarize(rows: list[Row]) -> dict[str, float]:
    categories: dict[str, list[float]] = {}
    for row in rows:
      categories.setdefault(row.category, []).append(row.j.mean)
    means = {name: float(np.mean(js)) for name, js in sorted(categories.items())}
    return {
      "J-Mean-by-Category": float(np.mean(list(means.values()))),
      "J-Mean-by-Video": float(np.mean([row.j.mean for row in rows])),
    } | {f"J-{name}": mean for name, mean in means.items()}

  return Protocol(
    "youtube-objects",
    "objects merged; all annotated frames; mean over categories and over videos",
    score,
    summarize,
  )


def segtrack_v2() -> Protocol:
  """SegTrack v2, semi-supervised: first frame left out, mean over objects.

  A convention: no scorer is published.
  """

  def score(video: Video) -> list[Row]:
    truth, void = split_void(video.truth)
    ids = range(1, largest_id(truth) + 1)
    return object_rows(video, truth, ids, slice(1, None), void)

  return Protocol(
    "segtrack-v2",
    "same ids; first frame left out; mean over objects",
    score,
    scored=slice(1, None),
    num_objects=largest_id,
  )


def segtrack_v2_unsupervised() -> Protocol:
  """SegTrack v2, unsupervised: objects merged, all frames, mean over sequences."""
  return dataclasses.replace(fbms(), name="segtrack-v2-unsupervised")


PROTOCOLS: Mapping[str, Callable[..., Protocol]] = {
  "davis2016": davis2016,
  "davis2017": davis2017,
  "davis2017-unsupervised": davis2017_unsupervised,
  "youtube-vos": youtube_vos,
  "fbms": fbms,
  "youtube-objects": youtube_objects,
  "segtrack-v2": segtrack_v2,
  "segtrack-v2-unsupervised": segtrack_v2_unsupervised,
}


def build(name: str, **options: Any) -> Protocol:
  """A protocol by its name; the options are those of its function.

  Raises:
    ValueError: the name is unknown.
  """
  if name not in PROTOCOLS:
    raise ValueError(
      f"unknown protocol {name!r}: the known ones are {', '.join(PROTOCOLS)}."
    )
  return PROTOCOLS[name](**options)


def category_of(name: str) -> str:
  """Category in a sequence's name: `cat/0001`, `cat_0001` and `cat0001` are cats."""
  return re.split(r"[/_\-\d]", name, maxsplit=1)[0] or name


def largest_id(truth: Integer[np.ndarray, "t h w"]) -> int:
  """The largest object id of a sequence."""
  return int(split_void(truth)[0].max())


def first_frame_objects(truth: Integer[np.ndarray, "t h w"]) -> int:
  """The toolkit's number of objects: the largest id of the first frame."""
  return largest_id(truth[:1])


def _score_foreground(video: Video) -> list[Row]:
  """All frames, objects merged. Void counts only where a video has ids besides it."""
  truth, void = split_void(video.truth)
  if not truth.any():  # a binary mask stored as 0 and 255
    return [merged_row(video, void, None, slice(None))]
  return [merged_row(video, truth > 0, void, slice(None))]
