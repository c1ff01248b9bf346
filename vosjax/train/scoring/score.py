"""Scores a model: on a few videos during training, on all of them at the end."""

import itertools
import logging
import pathlib
from collections.abc import Mapping, Sequence

import flax.linen as nn
import numpy as np
import tqdm
from jaxtyping import UInt8
from ml_collections import ConfigDict

from vosjax.data.video import Video
from vosjax.evaluation.evaluate import conclude, evaluate, score_video
from vosjax.evaluation.results import Result, average
from vosjax.evaluation.scored_video import ScoredVideo
from vosjax.train import feeds
from vosjax.train.recipe import Scoring, Segment
from vosjax.train.scoring import previews, tables
from vosjax.train.scoring.datasets import ScoredSet
from vosjax.train.state import TrainState
from vosjax.train.writers import MetricsWriter
from vosjax.types import Variables

LOG = logging.getLogger("vosjax")

TRAINED, INITIAL, BEFORE = "this model", "initial weights", "before this run"


class Validation:
  """J&F on a few unseen videos, during training.

  Args:
    config: of the run.
    scoring: how the model is scored.
    model: built with the fields of the run.
    validation_set: videos that are not trained on, of which the first few are used, and
      their protocol.
    writer: receives the score as "validation", and a preview.
    workdir: previews are written to its preview/.
  """

  def __init__(
    self,
    config: ConfigDict,
    scoring: Scoring,
    model: nn.Module,
    validation_set: ScoredSet,
    writer: MetricsWriter,
    workdir: pathlib.Path,
  ):
    self._scoring, self._model, self._writer = scoring, model, writer
    self._protocol = validation_set.protocol
    count = config.validation.num_videos or None
    self._videos = list(itertools.islice(validation_set.source, count))
    self._folder = workdir / "preview"
    self._folder.mkdir(exist_ok=True)

  def __call__(self, step: int, state: TrainState) -> float:
    """Scores the state of a step, logs the score and returns it."""
    segment = self._scoring.segment(self._model, state.variables)
    predicted = [segment_video(segment, video) for video in self._videos]
    scored = map(scored_video, predicted, self._videos)
    score = average(evaluate(self._protocol, scored).rows)["J&F-Mean"]
    self._writer.write(step, {"validation": score})
    sheet = previews.contact_sheet(predicted[0], self._videos[0])
    self._writer.write_image(step, "preview", sheet)
    previews.write_png(self._folder / f"step{step:07d}.png", sheet)
    return score


def score_model(
  config: ConfigDict,
  scoring: Scoring,
  model: nn.Module,
  variables: Variables,
  scored_set: ScoredSet,
  workdir: pathlib.Path,
  *,
  initial: Variables | None = None,
) -> dict[str, Result]:
  """Scores a model beside its baselines, and writes eval/ and preview/.

  Args:
    config: of the run.
    scoring: how the model is scored.
    model: built with the fields of the run.
    variables: trained.
    scored_set: videos that are not trained on, and their protocol.
    workdir: where the files go.
    initial: variables before training, as another baseline.

  Returns:
    Results by name; the model's comes first.
  """
  source, protocol = scored_set
  count = min(config.evaluation.num_videos or len(source), len(source))
  LOG.info(
    "scoring   %d of %d videos, %s (%s)",
    count,
    len(source),
    feeds.origin(source),
    protocol.description,
  )
  contenders: dict[str, Segment] = {TRAINED: scoring.segment(model, variables)}
  contenders |= scoring.baselines(model, variables)
  if initial is not None:
    name = BEFORE if config.model_checkpoint else INITIAL
    contenders[name] = scoring.segment(model, initial)
  results, measures = {}, {}
  for name, segment in contenders.items():
    num_previews = config.evaluation.num_previews if name == TRAINED else 0
    outcomes, measured = [], []
    for i in tqdm.trange(count, desc=name, unit="video", disable=None):
      video = source[i]
      predicted = segment_video(segment, video)
      scored = scored_video(predicted, video)
      outcomes.append(score_video(protocol, scored))
      measured.append(scoring.measures(scored))
      if i < num_previews:
        previews.write_preview(workdir / "preview", predicted, video)
    results[name] = conclude(protocol, outcomes)
    measures[name] = _means(measured)
  LOG.info("%s", tables.format_table(results, measures))
  tables.write_scores(workdir / "eval", results, measures)
  return results


def segment_video(segment: Segment, video: Video) -> UInt8[np.ndarray, "t h w"]:
  """The label maps of a whole video."""
  return np.stack([labels.astype(np.uint8) for labels in segment(video)])


def scored_video(predicted: UInt8[np.ndarray, "t h w"], video: Video) -> ScoredVideo:
  """What a protocol sees of a video: the prediction and truth of annotated frames.

  Raises:
    ValueError: no frame is annotated.
  """
  truth = {
    t: labels for t in range(len(video)) if (labels := video.labels(t)) is not None
  }
  if not truth:
    raise ValueError(
      f"{video.name}: no frame is annotated, so nothing can be scored. To write "
      "predictions alone, use --config.mode=predict."
    )
  return ScoredVideo(
    video.name,
    predicted[list(truth)],
    np.stack(list(truth.values())),
    tuple(video.frame_names[t] for t in truth),
    video.categories,
  )


def _means(measured: Sequence[Mapping[str, float]]) -> dict[str, float]:
  """Means over videos, by name."""
  return {
    name: sum(values[name] for values in measured) / len(measured)
    for name in measured[0]
  }
