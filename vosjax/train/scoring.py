"""When a run is scored: a few videos on the way, all of them at its end."""

import logging
import pathlib
from typing import Any

import flax.linen as nn
import numpy as np
import tqdm
from ml_collections import ConfigDict

from vosjax.data.sources import Source, Video
from vosjax.inference import protocols
from vosjax.inference.results import Result
from vosjax.train import evaluation
from vosjax.train.state import TrainState
from vosjax.train.writers import MetricsWriter
from vosjax.types import Variables

LOG = logging.getLogger("vosjax")

OURS, COPIED, UNTRAINED = "this model", "copy the first mask", "nothing learnt"


class Validation:
  """J&F on the first few unseen videos, while training goes on.

  Args:
    config: of the run.
    model: with the fields of the run.
    source: unseen videos.
    writer: takes the score as "validation", and a picture.
    workdir: pictures go to its preview/.
  """

  def __init__(
      self,
      config: ConfigDict,
      model: nn.Module,
      source: Source,
      writer: MetricsWriter,
      workdir: pathlib.Path,
  ):
    self._config, self._model, self._writer = config, model, writer
    self._videos = first_videos(source, config.validation.num_videos)
    self._folder = workdir / "preview"
    self._folder.mkdir(exist_ok=True)
    self._scored: tuple[int, float] | None = None

  def __call__(self, step: int, state: TrainState) -> None:
    """Scores the state of a step."""
    protocol, options = rules(self._config)
    segment = evaluation.model_segment(self._model, state.variables, **options)
    predicted = [segment(video) for video in self._videos]
    result = evaluation.score(protocol, predicted, self._videos)
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
    model: nn.Module,
    variables: Variables,
    source: Source,
    workdir: pathlib.Path,
    *,
    untrained: Variables | None = None,
) -> dict[str, Result]:
  """Scores the model beside the baselines, and writes eval/ and preview/.

  Args:
    config: of the run.
    model: with the fields of the run.
    variables: trained.
    source: unseen videos.
    workdir: where the files go.
    untrained: initial variables, for the second baseline.

  Returns:
    Results by name; the model's is the first.
  """
  videos = first_videos(source, config.evaluation.num_videos)
  protocol, options = rules(config)
  LOG.info("scoring   %d unseen videos (%s)", len(videos), protocol.rule)
  shown: list[np.ndarray] = []
  segment = evaluation.model_segment(model, variables, **options)

  def segmented():
    for video in tqdm.tqdm(videos, "scoring", unit="video", disable=None):
      labels = segment(video)
      if len(shown) < config.evaluation.num_previews:
        shown.append(labels)
      yield labels

  copied = map(evaluation.copy_first_mask, videos)
  results = {
      OURS: evaluation.score(protocol, segmented(), videos),
      COPIED: evaluation.score(protocol, copied, videos),
  }
  if untrained is not None:
    segment = evaluation.model_segment(model, untrained, **options)
    results[UNTRAINED] = evaluation.score(protocol, map(segment, videos), videos)
  LOG.info("%s", evaluation.table(results))
  evaluation.write_scores(workdir / "eval", results)
  evaluation.write_previews(workdir / "preview", shown, videos)
  return results


def rules(config: ConfigDict) -> tuple[protocols.Protocol, dict[str, Any]]:
  """The protocol, and how the engine runs under it."""
  if config.evaluation.dataset == "synthvos":
    return protocols.davis2017(), {"max_objects": config.evaluation.max_objects}
  if int(config.data.year) == 2016:
    return protocols.davis2016(stability=False), {"recurrence": "fine"}
  return protocols.davis2017(), {}


def first_videos(source: Source, limit: int) -> list[Video]:
  """The first `limit` videos, or all if it is 0."""
  return [source[i] for i in range(min(limit or len(source), len(source)))]
