"""When a run is scored: a few videos on the way, all of them at its end."""

import itertools
import logging
import pathlib
from collections.abc import Mapping

import flax.linen as nn
import tqdm
from ml_collections import ConfigDict

from vosjax.evaluation.evaluate import evaluate
from vosjax.evaluation.results import Result, average
from vosjax.train import feeds
from vosjax.train.recipe import Scoring
from vosjax.train.scoring import datasets, segmentation
from vosjax.train.scoring.datasets import ScoredSet
from vosjax.train.state import TrainState
from vosjax.train.writers import MetricsWriter
from vosjax.types import Variables

LOG = logging.getLogger("vosjax")

OURS, UNTRAINED, BEFORE = "this model", "nothing learnt", "before this run"


class Validation:
  """J&F on the first few unseen videos, while training goes on.

  Args:
    config: of the run.
    scoring: of the model's recipe.
    model: with the fields of the run.
    unseen: videos and the rule.
    writer: takes the score as "validation", and a picture.
    workdir: pictures go to its preview/.
  """

  def __init__(
    self,
    config: ConfigDict,
    scoring: Scoring,
    model: nn.Module,
    unseen: ScoredSet,
    writer: MetricsWriter,
    workdir: pathlib.Path,
  ):
    self._scoring, self._model, self._writer = scoring, model, writer
    self._protocol = unseen.protocol
    count = config.validation.num_videos or None
    self._videos = list(itertools.islice(datasets.videos(unseen.source), count))
    self._folder = workdir / "preview"
    self._folder.mkdir(exist_ok=True)
    self._scored: tuple[int, float] | None = None

  def __call__(self, step: int, state: TrainState) -> None:
    """Scores the state of a step."""
    segment = self._scoring.segment(self._model, state.variables)
    predicted = [segmentation.whole(segment(video)) for video in self._videos]
    scored = map(segmentation.annotated, predicted, self._videos)
    rows = evaluate(self._protocol, scored).rows
    value = average(rows)["J&F-Mean"]
    self._scored = step, value
    self._writer.write(step, {"validation": value})
    picture = segmentation.preview(predicted[0], self._videos[0])
    self._writer.write_picture(step, "preview", picture)
    segmentation.write_picture(self._folder / f"step{step:07d}.png", picture)

  def score_of(self, step: int) -> float | None:
    """What this step reached, if it was scored."""
    if self._scored is None or self._scored[0] != step:
      return None
    return self._scored[1]


def finish(
  config: ConfigDict,
  scoring: Scoring,
  model: nn.Module,
  variables: Variables,
  unseen: ScoredSet,
  workdir: pathlib.Path,
  *,
  untrained: Variables | None = None,
) -> dict[str, Result]:
  """Scores the model beside its baselines, and writes eval/ and preview/.

  Args:
    config: of the run.
    scoring: of the model's recipe.
    model: with the fields of the run.
    variables: trained.
    unseen: videos and the rule.
    workdir: where the files go.
    untrained: initial variables, one more baseline.

  Returns:
    Results by name; the model's is the first.
  """
  source, protocol = unseen
  count = min(config.evaluation.num_videos or len(source), len(source))
  LOG.info(
    "scoring   %d of %d videos, %s (%s)",
    count,
    len(source),
    feeds.origin(source),
    protocol.description,
  )
  contenders = {OURS: scoring.segment(model, variables)}
  contenders |= scoring.baselines(model, variables)
  if untrained is not None:
    name = BEFORE if config.model_checkpoint else UNTRAINED
    contenders[name] = scoring.segment(model, untrained)
  results, measures = {}, {}
  for name, segment in contenders.items():
    shown = config.evaluation.num_previews if name == OURS else 0
    seen: list[Mapping[str, float]] = []

    def videos(name=name, segment=segment, seen=seen, shown=shown):
      for i in tqdm.trange(count, desc=name, unit="video", disable=None):
        video = source[i]
        predicted = segmentation.whole(segment(video))
        scored = segmentation.annotated(predicted, video)
        seen.append(scoring.measures(scored))
        if i < shown:
          segmentation.write_preview(workdir / "preview", predicted, video)
        yield scored

    results[name] = evaluate(protocol, videos())
    measures[name] = {
      key: sum(values[key] for values in seen) / len(seen) for key in seen[0]
    }
  LOG.info("%s", segmentation.table(results, measures))
  segmentation.write_scores(workdir / "eval", results, measures)
  return results
