"""How each dataset is scored: which frames and objects count, and what is averaged.

The DAVIS protocols equal the public toolkits. The other datasets have no public scorer;
their protocols here follow the conventions in common use.
"""

import dataclasses
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool, Integer

from vosjax import metrics
from vosjax.evaluation.object_ids import find_first, find_volume_ids, warn_of_missed_ids
from vosjax.evaluation.results import Row, average
from vosjax.evaluation.scored_video import ScoredVideo
from vosjax.labels import VOID

MAX_PROPOSALS = 20

# The DAVIS 2016 videos without heavy occlusion, the only ones where T is meaningful.
_STABLE = """
bear blackswan boat bus camel car-roundabout car-shadow car-turn cows dance-jump
drift-straight drift-turn elephant flamingo hike hockey kite-surf kite-walk
mallard-water motocross-bumps paragliding-launch rhino scooter-black soapbox stroller
surf train
"""
STABLE_VIDEOS = frozenset(_STABLE.split())


@dataclasses.dataclass(frozen=True)
class Protocol:
  """How a dataset is scored.

  Attributes:
    name: name on the command line.
    description: the protocol in one sentence.
    score: computes the rows of one video.
    summarize: computes the numbers of the whole dataset from all rows.
    scored: the annotated frames that need a prediction.
    num_objects: counts the objects of an annotation; None where objects are merged.
    max_id: largest id allowed in a prediction; the number of objects by default.
    check: further problems of a video, one line each.
    warn: what makes the scores of a video doubtful, one line each.
    merges_objects: all ids above 0 are one object.
    interpret: gives 255 the meaning it is scored with.
  """

  name: str
  description: str
  score: Callable[[ScoredVideo], list[Row]]
  summarize: Callable[[list[Row]], dict[str, float]] = average
  scored: slice = dataclasses.field(default_factory=lambda: slice(None))
  num_objects: Callable[[Integer[np.ndarray, "t h w"]], int] | None = None
  max_id: int | None = None
  check: Callable[[ScoredVideo], list[str]] = lambda _: []
  warn: Callable[[ScoredVideo], list[str]] = lambda _: []
  merges_objects: bool = False
  interpret: Callable[[ScoredVideo], ScoredVideo] = lambda video: video

  def unscorable(self, truth: Integer[np.ndarray, "t h w"]) -> str:
    """Why a video cannot be scored, whatever is predicted; "" if it can."""
    num_frames = len(truth)
    if not len(range(num_frames)[self.scored]):
      return f"{num_frames} annotated frames; {self.name} needs more"
    if self.num_objects is not None and not self.num_objects(truth):
      return f"the annotation shows no object that {self.name} scores"
    return ""

  def problems(self, video: ScoredVideo) -> list[str]:
    """Everything that keeps a video from being scored, one line per problem."""
    if reason := self.unscorable(video.truth):
      return [
        f"{video.name}: {reason}. To score any object in any frame, give two folders: "
        "vosjax evaluate PREDICTIONS TRUTH"
      ]
    if self.num_objects is None:
      return self.check(video)
    limit = self.max_id or self.num_objects(video.truth)
    return [
      f"{video.name}/{name}.png: holds object id {labels.max()}, but {self.name} "
      f"allows ids up to {limit} here."
      for name, labels in zip(video.frames[self.scored], video.prediction[self.scored])
      if labels.max() > limit
    ]


def davis2016(*, stability: bool = True, has_void: bool = False) -> Protocol:
  """DAVIS 2016: objects are merged, and every video counts the same.

  The first and last frame are not scored.

  Args:
    stability: also measure T, on the videos that the toolkit lists for it.
    has_void: 255 is void, and not the object as in DAVIS 2016.
  """
  inner = slice(1, -1)

  def score(video: ScoredVideo) -> list[Row]:
    truth, void = split_void(video.truth) if has_void else (video.truth, None)
    row = _merged_row(video, truth > 0, void, inner)
    if stability and video.name in STABLE_VIDEOS:
      t = metrics.temporal_stability(video.prediction[inner] > 0)
      row = dataclasses.replace(row, stability=t)
    return [row]

  def summarize(rows: list[Row]) -> dict[str, float]:
    t = metrics.nan_mean(np.array([row.stability for row in rows]))
    return average(rows) | {"T-Mean": t}

  return Protocol(
    "davis2016",
    "objects merged; first and last frame left out; mean over videos",
    score,
    summarize,
    scored=inner,
    warn=lambda video: _warn_of_nothing(video, inner),
    merges_objects=True,
  )


def davis2017() -> Protocol:
  """DAVIS 2017, semi-supervised: ids must match, and every object counts the same.

  The first and last frame are not scored; void counts as background.
  """
  inner = slice(1, -1)

  def score(video: ScoredVideo) -> list[Row]:
    truth, _ = split_void(video.truth)
    ids = range(1, first_frame_objects(truth) + 1)
    return object_rows(video, truth, ids, inner)

  def warn(video: ScoredVideo) -> list[str]:
    ids = range(1, first_frame_objects(video.truth) + 1)
    missed = warn_of_missed_ids(video, dict.fromkeys(ids, inner))
    return [*missed, *_warn_of_late_objects(video)]

  return Protocol(
    "davis2017",
    "same ids; first and last frame left out; mean over objects",
    score,
    scored=inner,
    num_objects=first_frame_objects,
    warn=warn,
  )


def davis2017_unsupervised() -> Protocol:
  """DAVIS 2017, unsupervised: proposals are matched to objects over the whole video.

  All frames are scored; void pixels are ignored. Rows are in the order of the matched
  proposals.
  """

  def score(video: ScoredVideo) -> list[Row]:
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
    warn=_warn_of_few_proposals,
  )


def youtube_vos(*, seen: Collection[str], skip_first: bool = True) -> Protocol:
  """YouTube-VOS: J and F over objects of seen and of unseen categories, and their mean.

  A convention, since the official scorer runs on a server: an object is scored in the
  annotated frames after its first one, which is the prompt. Objects that first appear
  in the last annotated frame are not scored.

  Args:
    seen: categories of the training set.
    skip_first: leave out each object's first annotated frame.
  """
  seen = frozenset(seen)

  def scored(truth: Integer[np.ndarray, "t h w"]) -> dict[int, slice]:
    """The frames in which each object is scored."""
    starts = {i: find_first(truth, i) + skip_first for i in find_volume_ids(truth)}
    return {i: slice(start, None) for i, start in starts.items() if start < len(truth)}

  def score(video: ScoredVideo) -> list[Row]:
    truth, void = split_void(video.truth)
    for i in find_volume_ids(truth):
      if i not in video.categories:
        raise ValueError(
          f"{video.name}: object {i} has no category. Categories are read from "
          "meta.json in the folder of the dataset."
        )
    rows: list[Row] = []
    for i, frames in scored(truth).items():
      rows += object_rows(video, truth, [i], frames, void)
    return rows

  def summarize(rows: list[Row]) -> dict[str, float]:
    means = {}
    for measure in ("j", "f"):
      for group, is_seen in (("Seen", True), ("Unseen", False)):
        values = [
          getattr(row, measure).mean
          for row in rows
          if (row.category in seen) == is_seen
        ]
        means[f"{measure.upper()}-{group}"] = metrics.nan_mean(np.array(values))
    return {"G": float(np.mean(list(means.values())))} | means

  first = "first frame of each object left out" if skip_first else "first frames count"
  return Protocol(
    "youtube-vos",
    f"annotated frames from an object's first on; {first}; mean over objects",
    score,
    summarize,
    slice(int(skip_first), None),
    num_objects=largest_id,
    warn=lambda video: warn_of_missed_ids(video, scored(split_void(video.truth)[0])),
  )


def fbms() -> Protocol:
  """FBMS: objects merged, all annotated frames, mean over videos (a convention)."""
  return Protocol(
    "fbms",
    "objects merged; all annotated frames; mean over videos",
    _score_foreground,
    warn=_warn_of_nothing,
    merges_objects=True,
  )


def youtube_objects() -> Protocol:
  """YouTube-Objects: objects merged, all annotated frames, two averages (a convention).

  Published tables call their last line an average over videos, though most of them
  average the ten categories. Both averages are computed.
  """

  def score(video: ScoredVideo) -> list[Row]:
    category = category_of(video.name)
    return [
      dataclasses.replace(row, category=category) for row in _score_foreground(video)
    ]

  def summarize(rows: list[Row]) -> dict[str, float]:
    categories: dict[str, list[float]] = {}
    for row in rows:
      categories.setdefault(category_of(row.video), []).append(row.j.mean)
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
    warn=_warn_of_nothing,
    merges_objects=True,
  )


def segtrack_v2() -> Protocol:
  """SegTrack v2, semi-supervised: ids must match, and every object counts the same.

  The first frame is not scored. A convention: no scorer is published.
  """
  after_first = slice(1, None)

  def score(video: ScoredVideo) -> list[Row]:
    truth, void = split_void(video.truth)
    ids = range(1, largest_id(truth) + 1)
    return object_rows(video, truth, ids, after_first, void)

  def warn(video: ScoredVideo) -> list[str]:
    ids = range(1, largest_id(video.truth) + 1)
    return warn_of_missed_ids(video, dict.fromkeys(ids, after_first))

  return Protocol(
    "segtrack-v2",
    "same ids; first frame left out; mean over objects",
    score,
    scored=after_first,
    num_objects=largest_id,
    warn=warn,
  )


def segtrack_v2_unsupervised() -> Protocol:
  """SegTrack v2, unsupervised: objects merged, all frames, mean over videos."""
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
  """Builds a protocol by name.

  Args:
    name: a key of `PROTOCOLS`.
    **options: keyword arguments of the protocol's function.

  Raises:
    ValueError: the name is unknown; lists the known ones.
  """
  if name not in PROTOCOLS:
    raise ValueError(
      f"unknown protocol {name!r}: the known ones are {', '.join(PROTOCOLS)}."
    )
  return PROTOCOLS[name](**options)


def category_of(name: str) -> str:
  """The category in a video's name: `cat/0001`, `cat_0001` and `cat0001` are cats."""
  return re.split(r"[/_\-\d]", name, maxsplit=1)[0] or name


def largest_id(truth: Integer[np.ndarray, "t h w"]) -> int:
  """The largest object id of a video."""
  return int(split_void(truth)[0].max())


def first_frame_objects(truth: Integer[np.ndarray, "t h w"]) -> int:
  """The number of objects as the toolkit counts: the largest id of the first frame."""
  return largest_id(truth[:1])


def _warn_of_late_objects(video: ScoredVideo) -> list[str]:
  """Objects that the toolkit does not count, because the first frame lacks them."""
  largest = largest_id(video.truth)
  if largest <= first_frame_objects(video.truth):
    return []
  return [
    f"objects up to id {largest} appear after the first frame, whose objects alone are "
    "scored here; vosjax evaluate PREDICTIONS TRUTH scores all"
  ]


def _warn_of_few_proposals(video: ScoredVideo) -> list[str]:
  """Objects that no proposal can be matched to."""
  num_proposals = len(find_volume_ids(video.prediction))
  num_objects = first_frame_objects(video.truth)
  if num_proposals >= num_objects:
    return []
  return [f"the prediction shows {num_proposals} of {num_objects} objects"]


def _warn_of_nothing(video: ScoredVideo, scored: slice = slice(None)) -> list[str]:
  """A prediction without any object, where the truth has one."""
  if video.prediction[scored].any() or not video.truth[scored].any():
    return []
  return ["no frame of the prediction shows an object"]


def split_void(
  truth: Integer[np.ndarray, "t h w"],
) -> tuple[Integer[np.ndarray, "t h w"], Bool[np.ndarray, "t h w"]]:
  """Separates object ids from void.

  Returns:
    The ids with void set to 0, which may be `truth` itself, and the void pixels.
  """
  void = truth == VOID
  return np.where(void, 0, truth) if void.any() else truth, void


def _score_foreground(video: ScoredVideo) -> list[Row]:
  """The row of all objects merged, over all frames.

  Where an annotation has no other value than 0 and 255, 255 is the foreground.
  """
  truth, void = split_void(video.truth)
  if not truth.any():
    return [_merged_row(video, void, None, slice(None))]
  return [_merged_row(video, truth > 0, void, slice(None))]


def _merged_row(
  video: ScoredVideo,
  truth: Bool[np.ndarray, "t h w"],
  void: Bool[np.ndarray, "t h w"] | None,
  scored: slice,
) -> Row:
  """The row of all objects merged, over the `scored` frames."""
  scores = metrics.score_labels(
    (video.prediction[scored] > 0).view(np.uint8),
    truth[scored].view(np.uint8),
    [1],
    None if void is None else void[scored],
  )
  return Row(
    video.name, video.name, video.frames[scored], scores.region[0], scores.contour[0]
  )


def object_rows(
  video: ScoredVideo,
  truth: Integer[np.ndarray, "t h w"],
  ids: Collection[int],
  scored: slice,
  void: Bool[np.ndarray, "t h w"] | None = None,
) -> list[Row]:
  """One row per object, compared with the predicted object of the same id."""
  scores = metrics.score_labels(
    video.prediction[scored],
    truth[scored],
    list(ids),
    None if void is None else void[scored],
  )
  return [
    Row(
      f"{video.name}_{i}",
      video.name,
      video.frames[scored],
      region,
      contour,
      i,
      i,
      video.categories.get(i),
    )
    for i, region, contour in zip(ids, scores.region, scores.contour)
  ]
