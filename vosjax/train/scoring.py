"""When a run is scored: a few videos on the way, all of them at its end."""

import logging
import pathlib
from collections.abc import Mapping

import flax.linen as nn
import tqdm
from ml_collections import ConfigDict

from vosjax.data.sources import Source, Video
from vosjax.inference.results import Result
from vosjax.train import evaluation
from vosjax.train.recipe import Scoring
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
    source: unseen videos.
    writer: takes the score as "validation", and a picture.
    workdir: pictures go to its preview/.
  """

  def __init__(
      self,
      config: ConfigDict,
      scoring: Scoring,
      model: nn.Module,
      source: Source,
      writer: MetricsWriter,
      workdir: pathlib.Path,
  ):
    self._scoring, self._model, self._writer = scoring, model, writer
    self._videos = first_videos(source, config.validation.num_videos)
    self._folder = workdir / "preview"
    self._folder.mkdir(exist_ok=True)
    self._scored: tuple[int, float] | None = None

  def __call__(self, step: int, state: TrainState) -> None:
    """Scores the state of a step."""
    segment = self._scoring.segment(self._model, state.variables)
    predicted = [segment(video) for video in self._videos]
    result = evaluation.score(self._scoring.protocol, predicted, self._videos)
    value = result.summary["J&F-Mean"]
    self._scored = step, value
    self._writer.write(step, {"validation": value})
    picture = evaluation.preview(predicted[0], self._videos[0])
    self._writer.write_picture(step, "preview", picture)
    evaluation.write_picture(self._folder / f"step{step:07d}.png", picture)

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
    source: Source,
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
    source: unseen videos.
    workdir: where the files go.
    untrained: initial variables, one more baseline.

  Returns:
    Results by name; the model's is the first.
  """
  videos = first_videos(source, config.evaluation.num_videos)
  LOG.info("scoring   %d unseen videos (%s)", len(videos), scoring.protocol.rule)
  contenders = {OURS: scoring.segment(model, variables)}
  contenders |= scoring.baselines(model, variables)
  if untrained is not None:
    name = BEFORE if config.model_checkpoint else UNTRAINED
    contenders[name] = scoring.segment(model, untrained)
  results, measures, shown = {}, {}, []
  for name, segment in contenders.items():
    seen: list[Mapping[str, float]] = []

    def segmented(name=name, segment=segment, seen=seen):
      for video in tqdm.tqdm(videos, name, unit="video", disable=None):
        labels = segment(video)
        seen.append(scoring.measures(labels, video))
        if name == OURS and len(shown) < config.evaluation.num_previews:
          shown.append(labels)
        yield labels

    results[name] = evaluation.score(scoring.protocol, segmented(), videos)
    measures[name] = {
        key: sum(values[key] for values in seen) / len(seen) for key in seen[0]
    }
  LOG.info("%s", evaluation.table(results, measures))
  evaluation.write_scores(workdir / "eval", results, measures)
  evaluation.write_previews(workdir / "preview", shown, videos)
  return results


def first_videos(source: Source, limit: int) -> list[Video]:
  """The first `limit` videos, or all if it is 0."""
  return [source[i] for i in range(min(limit or len(source), len(source)))]
