"""Scores predictions, in memory or in folders, under a dataset's protocol."""

import concurrent.futures
import functools
import multiprocessing
import signal
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from vosjax.evaluation import first_frame_matching, protocols
from vosjax.evaluation.mask_folders import MaskFiles
from vosjax.evaluation.protocols import Protocol
from vosjax.evaluation.results import Result, Row
from vosjax.evaluation.scored_video import ScoredVideo


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
    name: name of the protocol.
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
  protocol = protocols.build(name, **options)
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


Outcome = tuple[list[Row], list[str]]  # rows and problems, one of them empty


def _score_files(
  name: str, options: dict[str, Any], match_first: bool, files: MaskFiles
) -> Outcome:
  """Scores one video; protocols hold closures, so workers build their own."""
  protocol = protocols.build(name, **options)
  video, problems = files.load(slice(None) if match_first else protocol.scored)
  if video is None:
    return [], problems
  if match_first:
    problems += first_frame_matching.problems(video)
    if problems:
      return [], problems
    video = first_frame_matching.match_first_frame(video)
  problems += protocol.problems(video)
  return ([], problems) if problems else (protocol.score(video), [])


def score_video(protocol: Protocol, video: ScoredVideo) -> Outcome:
  """Scores one video: its rows, or the problems that keep it from being scored."""
  problems = protocol.problems(video)
  return ([], problems) if problems else (protocol.score(video), [])


def conclude(protocol: Protocol, outcomes: Sequence[Outcome]) -> Result:
  """Summarizes the outcomes of all videos, see `score_video`.

  Raises:
    UnusablePredictionsError: some videos could not be scored; lists all problems.
    ValueError: there is nothing to score.
  """
  rows = [row for video_rows, _ in outcomes for row in video_rows]
  problems = [line for _, lines in outcomes for line in lines]
  if problems:
    raise UnusablePredictionsError(problems)
  if not rows:
    raise ValueError(f"{protocol.name}: there is nothing to score.")
  summary = protocol.summarize(rows)
  return Result(protocol.name, protocol.description, tuple(rows), summary)
