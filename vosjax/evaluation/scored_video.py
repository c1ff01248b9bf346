"""What a protocol is made of: videos, the rows they give, and a rule."""

import dataclasses
from collections.abc import Callable, Collection, Mapping

import numpy as np
from jaxtyping import Bool, Integer

from vosjax import metrics
from vosjax.data.video import VOID
from vosjax.evaluation.results import Row, average


@dataclasses.dataclass(frozen=True)
class Video:
  """One sequence as protocols take it: annotated frames, and what was predicted.

  Attributes:
    name: of the sequence.
    prediction: object ids, 0 = background. Frames that a protocol does not score
      may hold anything.
    truth: object ids as stored, 255 = void.
    frames: names of the frames; counted from 00000 by default.
    categories: of the objects by id, where the data set tells.
  """

  name: str
  prediction: Integer[np.ndarray, "_t _h _w"]
  truth: Integer[np.ndarray, "_t _h _w"]
  frames: tuple[str, ...] = ()
  categories: Mapping[int, str] = dataclasses.field(default_factory=dict)

  def __post_init__(self):
    if self.prediction.shape != self.truth.shape:
      raise ValueError(
        f"{self.name}: the prediction is {list(self.prediction.shape)} and the truth "
        f"{list(self.truth.shape)} (frames, rows, columns): they must be equal."
      )
    if not self.frames:
      names = tuple(f"{t:05d}" for t in range(len(self.truth)))
      object.__setattr__(self, "frames", names)


@dataclasses.dataclass(frozen=True)
class Protocol:
  """A benchmark's rule.

  Attributes:
    name: as on the command line.
    rule: in one sentence.
    score: the rows of one video.
    summarize: the data set's numbers from all rows.
    scored: which of the annotated frames need a prediction.
    num_objects: how many objects the truth says there are, where ids are kept apart.
    max_id: largest id that a prediction may hold; by default the number of objects.
  """

  name: str
  rule: str
  score: Callable[[Video], list[Row]]
  summarize: Callable[[list[Row]], dict[str, float]] = average
  scored: slice = dataclasses.field(default_factory=lambda: slice(None))
  num_objects: Callable[[Integer[np.ndarray, "t h w"]], int] | None = None
  max_id: int | None = None

  def problems(self, video: Video) -> list[str]:
    """What keeps a video from being scored, one line each."""
    count = len(video.truth)
    if not len(range(count)[self.scored]):
      return [f"{video.name}: {count} annotated frames; {self.name} needs more."]
    if self.num_objects is None:
      return []
    num_objects = self.num_objects(video.truth)
    if not num_objects:
      return [f"{video.name}: the annotation shows no object that {self.name} scores."]
    limit = self.max_id or num_objects
    return [
      f"{video.name}/{name}.png: holds object id {labels.max()}, but {self.name} "
      f"allows ids up to {limit} here."
      for name, labels in zip(video.frames[self.scored], video.prediction[self.scored])
      if labels.max() > limit
    ]


def split_void(
  truth: Integer[np.ndarray, "t h w"],
) -> tuple[Integer[np.ndarray, "t h w"], Bool[np.ndarray, "t h w"]]:
  """Object ids with void set to 0, and where void is; the ids are read-only."""
  void = truth == VOID
  return np.where(void, 0, truth) if void.any() else truth, void


def merged_row(
  video: Video,
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
  video: Video,
  truth: Integer[np.ndarray, "t h w"],
  ids: Collection[int],
  scored: slice,
  void: Bool[np.ndarray, "t h w"] | None = None,
) -> list[Row]:
  """One row for each object, compared with the predicted object of the same id."""
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
