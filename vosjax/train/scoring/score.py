"""Scores a model: on a few videos during training, on all of them at the end."""

import logging
import pathlib
from collections.abc import Callable, Mapping, Sequence

import flax.linen as nn
import jax
from ml_collections import ConfigDict

from vosjax.data.formats.folders import first_few
from vosjax.data.video import Video
from vosjax.evaluation.evaluate import conclude
from vosjax.evaluation.protocols import Protocol
from vosjax.evaluation.results import Result, average
from vosjax.train import feeds, processes
from vosjax.train.recipe import Scoring, Segment
from vosjax.train.scoring import previews, tables
from vosjax.train.scoring.datasets import ScoredSet
from vosjax.train.scoring.video_scores import (
  Kept,
  Labels,
  StoppedError,
  basis_of,
  read_truth,
  score_videos,
  unscorable,
)
from vosjax.train.state import TrainState
from vosjax.train.writers import VALIDATION, MetricsWriter
from vosjax.types import Variables

LOG = logging.getLogger("vosjax")

TRAINED, INITIAL, BEFORE = "this model", "initial weights", "before this run"


class Validation:
  """J&F on a few unseen videos, during training.

  Processes and their devices share the videos.

  Args:
    config: of the run.
    scoring: how the model is scored.
    model: built with the fields of the run.
    validation_set: videos that are not trained on, of which the first few are used, and
      their protocol.
    writer: receives the score as "validation", and a preview; only the first process
      has one.
    workdir: previews are written to its preview/.
    is_stopped: asked before the first frame and after every frame whether to give up.
  """

  def __init__(
    self,
    config: ConfigDict,
    scoring: Scoring,
    model: nn.Module,
    validation_set: ScoredSet,
    writer: MetricsWriter | None,
    workdir: pathlib.Path,
    *,
    is_stopped: Callable[[], bool] = lambda: False,
  ):
    self._scoring, self._model, self._writer = scoring, model, writer
    self._is_stopped = is_stopped
    self._protocol = validation_set.protocol
    _require_slots(model, self._protocol)
    self._videos = _find_scorable(validation_set, config.validation.num_videos)
    self._folder = workdir / "preview"

  def __call__(self, step: int, state: TrainState) -> float | None:
    """Scores the state of a step, logs the score and returns it; None if it gave up.

    All processes must call it together; if one gives up, all do.
    """
    variables = jax.device_get(state.variables)
    predicted: dict[int, Labels] = {}
    try:
      scores = score_videos(
        self._videos,
        len(self._videos),
        self._protocol,
        self._scoring,
        lambda: {TRAINED: self._scoring.segment(self._model, variables)},
        show=predicted.__setitem__,
        is_stopped=self._is_stopped,
      )
    except StoppedError:
      return None
    result = conclude(self._protocol, [video[TRAINED].outcome for video in scores])
    score = average(result.rows)["J&F-Mean"]
    if self._writer is not None:
      self._writer.write(step, {VALIDATION: score})
      sheet = previews.contact_sheet(predicted[0], self._videos[0])
      self._writer.write_image(step, "preview", sheet)
      self._folder.mkdir(exist_ok=True)
      previews.write_png(self._folder / f"step{step:07d}.png", sheet)
    return score


def _find_scorable(scored_set: ScoredSet, count: int) -> list[Video]:
  """The first videos that can be scored; 0: all of them.

  Raises:
    ValueError: there are none.
  """
  found: list[Video] = []
  left_out: list[str] = []
  for video in scored_set.source:
    if reason := unscorable(scored_set.protocol, read_truth(video)):
      left_out.append(f"{video.name} ({reason})")
    else:
      found.append(video)
    if len(found) == count > 0:
      break
  if not found:
    raise ValueError(
      f"there is no video to validate on: {first_few(left_out)}. Choose others by "
      "evaluation.dataset and evaluation.subset."
    )
  if left_out:
    LOG.warning("warning: not validated on: %s", first_few(left_out))
  return found


def _require_slots(model: nn.Module, protocol: Protocol) -> None:
  """Refuses a model that may make more proposals than a protocol takes.

  Raises:
    ValueError: it may.
  """
  slots, limit = getattr(model, "num_objects", 0), protocol.max_id
  if limit is not None and slots > limit:
    raise ValueError(
      f"the model finds up to {slots} objects (num_objects), but {protocol.name} takes "
      f"at most {limit} proposals. Score it on another evaluation.dataset."
    )


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

  Processes and their devices share the videos, and the first process writes the same
  files for any number of them. Scores of single videos are kept until all are there,
  so that the same command goes on where it was stopped.

  Args:
    config: of the run.
    scoring: how the model is scored.
    model: built with the fields of the run.
    variables: trained.
    scored_set: videos that are not trained on, and their protocol.
    workdir: where the files go.
    initial: variables before training, as another baseline.

  Returns:
    Results by name, in all processes; the model's comes first.
  """
  source, protocol = scored_set
  _require_slots(model, protocol)
  count = min(config.evaluation.num_videos or len(source), len(source))
  LOG.info(
    "scoring   %d of %d videos, %s (%s)",
    count,
    len(source),
    feeds.origin(source),
    protocol.description,
  )
  reason = previews.why_no_videos()
  if reason and config.evaluation.num_previews and processes.is_first():
    LOG.warning("warning: previews are images alone: %s", reason)

  def make_contenders() -> dict[str, Segment]:
    contenders: dict[str, Segment] = {TRAINED: scoring.segment(model, variables)}
    contenders |= scoring.baselines(model, variables)
    if initial is not None:
      name = BEFORE if config.model_checkpoint else INITIAL
      contenders[name] = scoring.segment(model, initial)
    return contenders

  def show(index: int, predicted: Labels) -> None:
    if index < config.evaluation.num_previews:
      previews.write_preview(workdir / "preview", predicted, source[index])

  compared = [variables] if initial is None else [variables, initial]
  kept = Kept(workdir / "eval" / "unfinished", basis_of(config, model, *compared))
  scores = score_videos(
    source, count, protocol, scoring, make_contenders, show=show, kept=kept
  )
  results, measures = {}, {}
  for name in scores[0]:
    results[name] = conclude(protocol, [video[name].outcome for video in scores])
    measures[name] = _means([video[name].measures for video in scores])
  LOG.info("%s", tables.format_table(results, measures))
  if processes.is_first():
    tables.write_scores(workdir / "eval", results, measures)
    kept.remove()
  return results


def _means(measured: Sequence[Mapping[str, float]]) -> dict[str, float]:
  """Means over videos, by name."""
  return {
    name: sum(values[name] for values in measured) / len(measured)
    for name in measured[0]
  }
