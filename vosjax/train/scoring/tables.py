"""Scores as a table for the terminal and as files."""

import json
import pathlib
from collections.abc import Mapping

import numpy as np

from vosjax import files
from vosjax.evaluation.results import CSV_COLUMNS, Result, average


def write_scores(
  folder: pathlib.Path,
  results: Mapping[str, Result],
  measures: Mapping[str, Mapping[str, float]],
) -> None:
  """Writes the CSVs of the first result, and summary.json with all of them.

  Args:
    folder: made if absent, with its parents.
    results: by name of what was scored.
    measures: further means by name of what was scored.
  """
  folder.mkdir(parents=True, exist_ok=True)
  first = next(iter(results.values()))
  summary = {
    name: {
      key: None if np.isnan(value) else value  # JSON has no NaN
      for key, value in {**result.summary, **measures[name]}.items()
    }
    for name, result in results.items()
  }
  for name, text in {
    "per-sequence_results.csv": first.rows_csv(),
    "global_results.csv": first.global_csv(),
    "results.json": first.to_json(),
    "summary.json": json.dumps(summary, indent=2) + "\n",
  }.items():
    files.write_bytes(folder / name, text.encode())


def format_table(
  results: Mapping[str, Result], measures: Mapping[str, Mapping[str, float]]
) -> str:
  """A line of means for each result, then the first one's scores by its protocol."""
  width = max(map(len, results))
  further = next(iter(measures.values()))
  heads = ("J&F", "J", "recall", "decay", "F", "recall", "decay", *further)
  widths = [max(8, len(head) + 2) for head in heads]
  lines = [" " * width + "".join(f"{h:>{w}}" for h, w in zip(heads, widths))]
  for name, result in results.items():
    values = [f"{100 * value:.1f}" for value in average(result.rows).values()]
    values += [f"{value:.3f}" for value in measures[name].values()]
    cells = "".join(f"{v:>{w}}" for v, w in zip(values, widths))
    lines.append(f"{name:{width}}{cells}")
  name, first = next(iter(results.items()))
  numbers = {k: value for k, value in first.summary.items() if k not in CSV_COLUMNS}
  if not np.isnan([*numbers.values()]).all():
    texts = (
      f"{key} {'-' if np.isnan(value) else f'{100 * value:.1f}'}"
      for key, value in numbers.items()
    )
    lines.append(f"{name}, {first.protocol}: {', '.join(texts)}")
  return "\n".join(lines)
