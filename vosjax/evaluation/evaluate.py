"""Scores of predictions, held in memory or in folders, under a benchmark's protocol."""

import concurrent.futures
import functools
import multiprocessing
import signal
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from vosjax.evaluation import first_frame_matching, protocols
from vosjax.evaluation.mask_folders import MaskFiles
from vosjax.evaluation.results import Result, Row
from vosjax.evaluation.scored_video import Protocol, Video


class UnusablePredictionsError(ValueError):
  """Predictions that cannot be scored as they are.

  Attributes:
    problems: all of them, one line each.
  """

  def __init__(self, problems: Sequence[str]):
    self.problems = tuple(problems)
    super().__init__(
      f"nothing was scored, {len(problems)} problem(s):\n" + "\n".join(problems)
    )


def evaluate(protocol: Protocol, videos: Iterable[Video]) -> Result:
  """Scores videos that are in memory.

  Example:
    `evaluate(protocols.davis2017(), [Video("synth", predicted, truth)]).summary`

  Args:
    protocol: the rule, such as `protocols.davis2017()`.
    videos: sequences with their predictions.

  Raises:
    ValueError: there are no videos, or some cannot be scored; lists all that is wrong.
  """
  return conclude(protocol, [score_video(protocol, video) for video in videos])


def evaluate_files(
  name: str,
  sequences: Sequence[MaskFiles],
  *,
  options: Mapping[str, Any] | None = None,
  match_first: bool = False,
  workers: int = 1,
  progress: Callable[[str], None] = lambda _: None,
) -> Result:
  """Scores sequences in folders, as `mask_folders.find` pairs them.

  Args:
    name: of the protocol.
    sequences: what to score.
    options: of the protocol.
    match_first: pair predicted instances with objects by the first frame of each
      object, see `matching.match_first_frame`.
    workers: processes to share the sequences.
    progress: called with the name of each sequence that is done.

  Raises:
    ValueError: predictions are missing or unusable; lists every file.
  """
  options = dict(options or {})
  protocol = protocols.build(name, **options)
  task = functools.partial(_score_files, name, options, match_first)
  found = []
  if workers <= 1:
    for sequence in sequences:
      found.append(task(sequence))
      progress(sequence.name)
    return conclude(protocol, found)
  with concurrent.futures.ProcessPoolExecutor(
    workers,
    mp_context=multiprocessing.get_context("spawn"),  # JAX does not survive a fork
    initializer=signal.signal,  # Ctrl-C is for this process alone
    initargs=(signal.SIGINT, signal.SIG_IGN),
  ) as pool:
    try:
      for sequence, outcome in zip(sequences, pool.map(task, sequences)):
        found.append(outcome)
        progress(sequence.name)
    except BaseException:
      pool.shutdown(wait=False, cancel_futures=True)
      raise
  return conclude(protocol, found)


Outcome = tuple[list[Row], list[str]]  # rows, or problems


def _score_files(
  name: str, options: dict[str, Any], match_first: bool, files: MaskFiles
) -> Outcome:
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


def score_video(protocol: Protocol, video: Video) -> Outcome:
  """The rows of one video, or what keeps it from being scored."""
  problems = protocol.problems(video)
  return ([], problems) if problems else (protocol.score(video), [])


def conclude(protocol: Protocol, outcomes: Sequence[Outcome]) -> Result:
  """The result of all videos from the outcome of each, see `score_video`.

  Raises:
    UnusablePredictionsError: some could not be scored; lists all problems.
    ValueError: there is nothing to score.
  """
  rows = [row for found, _ in outcomes for row in found]
  problems = [line for _, found in outcomes for line in found]
  if problems:
    raise UnusablePredictionsError(problems)
  if not rows:
    raise ValueError(f"{protocol.name}: there is nothing to score.")
  return Result(protocol.name, protocol.rule, tuple(rows), protocol.summarize(rows))
