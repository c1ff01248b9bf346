"""Scores predictions, in memory or in folders, under a dataset's protocol."""

import concurrent.futures
import functools
import multiprocessing
import signal
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from vosjax.data import label_agreement
from vosjax.evaluation import any_objects, first_frame_matching, protocols
from vosjax.evaluation.mask_files import WHITE_IS_1, LoadedVideo, MaskFiles
from vosjax.evaluation.object_ids import find_volume_ids
from vosjax.evaluation.protocols import Protocol
from vosjax.evaluation.results import Result, Row
from vosjax.evaluation.scored_video import ScoredVideo
from vosjax.labels import VOID


class UnusablePredictionsError(ValueError):
  """Predictions cannot be scored.

  Attributes:
    problems: everything that is wrong, one line per problem.
  """

  def __init__(self, problems: Sequence[str]):
    self.problems = tuple(problems)
    super().__init__(
      f"nothing was scored, {len(problems)} problem(s):\n" + "\n".join(problems)
    )


def evaluate(protocol: Protocol, videos: Iterable[ScoredVideo]) -> Result:
  """Scores videos that are in memory.

  Example:
    `evaluate(protocols.davis2017(), [ScoredVideo("dog", predicted, truth)]).summary`

  Args:
    protocol: how to score, such as `protocols.davis2017()`.
    videos: predictions and annotations.

  Raises:
    UnusablePredictionsError: some videos cannot be scored; lists all problems.
    ValueError: there are no videos, or nothing to score in them.
  """
  return conclude(protocol, [score_video(protocol, video) for video in videos])


def evaluate_files(
  name: str,
  videos: Sequence[MaskFiles],
  *,
  options: Mapping[str, Any] | None = None,
  match_first: bool = False,
  workers: int = 1,
  progress: Callable[[str], None] = lambda _: None,
) -> Result:
  """Scores videos in folders, as `mask_folders.find` pairs them.

  Args:
    name: name of the protocol, see `build_protocol`.
    videos: what to score.
    options: keyword arguments of the protocol.
    match_first: match predicted instances to objects in the first frame of each
      object, see `first_frame_matching.match_first_frame`.
    workers: number of processes that share the videos.
    progress: called with the name of each video that is done.

  Raises:
    UnusablePredictionsError: predictions are missing or unusable; lists every file.
    ValueError: the protocol is unknown, or there is nothing to score.
  """
  options = dict(options or {})
  protocol = build_protocol(name, **options)
  task = functools.partial(_score_files, name, options, match_first)
  outcomes = []
  if workers <= 1:
    for video in videos:
      outcomes.append(task(video))
      progress(video.name)
    return conclude(protocol, outcomes)
  with concurrent.futures.ProcessPoolExecutor(
    workers,
    mp_context=multiprocessing.get_context("spawn"),  # a caller's JAX must not fork
    initializer=signal.signal,  # workers ignore Ctrl-C: this process stops them
    initargs=(signal.SIGINT, signal.SIG_IGN),
  ) as pool:
    # Leaving this loop early, by Ctrl-C for example, cancels what has not started.
    for video, outcome in zip(videos, pool.map(task, videos)):
      outcomes.append(outcome)
      progress(video.name)
  return conclude(protocol, outcomes)


class Outcome(NamedTuple):
  """What scoring one video gives: rows or problems, one of them empty.

  Attributes:
    rows: the scores.
    problems: what keeps the video from being scored, one line each.
    warnings: what makes the scores doubtful: name of the video, and one line.
    readings: paths of the masks that do not hold ids, by what they are ("prediction" or
      "annotation") and what was done to get ids.
  """

  rows: list[Row]
  problems: list[str]
  warnings: Sequence[tuple[str, str]] = ()
  readings: Mapping[tuple[str, str], Sequence[str]] = {}


def build_protocol(name: str, **options: Any) -> Protocol:
  """The protocol of a dataset, or that of two folders (`any_objects.NAME`)."""
  if name == any_objects.NAME:
    return any_objects.any_objects(**options)
  return protocols.build(name, **options)


def _score_files(
  name: str, options: dict[str, Any], match_first: bool, files: MaskFiles
) -> Outcome:
  """Scores one video; protocols hold closures, so workers build their own."""
  protocol = build_protocol(name, **options)
  loaded = files.load(
    slice(None) if match_first else protocol.scored,
    keeps_255=options.get("label_255") is not None,
  )
  video, problems, *_ = loaded
  if video is None:
    return Outcome([], problems)
  if match_first:
    problems += first_frame_matching.problems(video)
    if problems:
      return Outcome([], problems)
    video = first_frame_matching.match_first_frame(video)
  problems += protocol.problems(video)
  if problems:
    return Outcome([], problems)
  warnings = [*files.unscored_gaps(protocol.scored), *protocol.warn(video)]
  return Outcome(
    protocol.score(video),
    [],
    [(files.name, line) for line in warnings],
    _readings(protocol, loaded),
  )


def _readings(
  protocol: Protocol, loaded: LoadedVideo
) -> dict[tuple[str, str], Sequence[str]]:
  """How masks were read; white as object 1 only if the truth has other objects."""
  found = {("annotation", note): paths for note, paths in loaded.of_truth.items()}
  found |= {("prediction", note): paths for note, paths in loaded.of_prediction.items()}
  found.pop(("annotation", WHITE_IS_1), None)  # as in DAVIS 2016
  if ("prediction", WHITE_IS_1) in found:
    assert loaded.video is not None
    objects = find_volume_ids(loaded.video.truth)
    if protocol.merges_objects or set(objects) <= {1, VOID}:
      del found["prediction", WHITE_IS_1]
  return found


def score_video(protocol: Protocol, video: ScoredVideo) -> Outcome:
  """Scores one video: its rows, or the problems that keep it from being scored."""
  problems = protocol.problems(video)
  return Outcome([], problems) if problems else Outcome(protocol.score(video), [])


def conclude(protocol: Protocol, outcomes: Sequence[Outcome]) -> Result:
  """Summarizes the outcomes of all videos, see `score_video`.

  Raises:
    UnusablePredictionsError: some videos could not be scored; lists all problems.
    ValueError: there is nothing to score.
  """
  rows = [row for outcome in outcomes for row in outcome.rows]
  problems = [line for outcome in outcomes for line in outcome.problems]
  warnings = [line for outcome in outcomes for line in outcome.warnings]
  if problems:
    raise UnusablePredictionsError(problems)
  if not rows:
    raise ValueError(f"{protocol.name}: there is nothing to score.")
  readings: dict[str, dict[str, list[str]]] = {}
  for outcome in outcomes:
    for (kind, note), paths in outcome.readings.items():
      readings.setdefault(kind, {}).setdefault(note, []).extend(paths)
  return Result(
    protocol.name,
    protocol.description,
    tuple(rows),
    protocol.summarize(rows),
    tuple(warnings),
    tuple(
      line
      for kind, notes in readings.items()
      for line in label_agreement.describe(kind, notes)
    ),
  )
