"""Scores of predictions, held in memory or in folders, under a benchmark's protocol."""

from collections.abc import Iterable

from vosjax.inference.protocols import Protocol, Video
from vosjax.inference.results import Result, Row


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
  rows: list[Row] = []
  problems: list[str] = []
  for video in videos:
    found = protocol.problems(video)
    problems += found
    if not found:
      rows += protocol.score(video)
  return conclude(protocol, rows, problems)


def conclude(protocol: Protocol, rows: list[Row], problems: list[str]) -> Result:
  """The result of all rows, or a ValueError that lists all problems."""
  if problems:
    count = f"{len(problems)} problem{'s' * (len(problems) > 1)}"
    raise ValueError(
        f"Nothing was scored: {count} with the predictions.\n" + "\n".join(problems))
  if not rows:
    raise ValueError(f"{protocol.name}: there is nothing to score.")
  return Result(protocol.name, protocol.rule, tuple(rows), protocol.summarize(rows))
