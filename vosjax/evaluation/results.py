"""The outcome of an evaluation: rows, their averages, and the tables made of them."""

import collections
import dataclasses
import functools
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from vosjax import metrics

CSV_COLUMNS = (
  "J&F-Mean",
  "J-Mean",
  "J-Recall",
  "J-Decay",
  "F-Mean",
  "F-Recall",
  "F-Decay",
)


@dataclasses.dataclass(frozen=True)
class Row:
  """Scores of one object, or of all objects merged, in one video.

  Attributes:
    name: name of the row in tables, such as `kite-surf_1`.
    video: name of the video.
    frames: names of the scored frames.
    region: J of each frame.
    contour: F of each frame.
    object_id: id in the annotation; None if all objects are merged.
    predicted_id: id in the prediction; None if all ids are merged.
    category: category of the object, for datasets that have categories.
    stability: T of the video; NaN if it was not measured.
  """

  name: str
  video: str
  frames: tuple[str, ...]
  region: Float[np.ndarray, " t"]
  contour: Float[np.ndarray, " t"]
  object_id: int | None = None
  predicted_id: int | None = None
  category: str | None = None
  stability: float = math.nan

  @functools.cached_property
  def j(self) -> metrics.Summary:
    """Mean, recall and decay of J."""
    return metrics.summarize(self.region)

  @functools.cached_property
  def f(self) -> metrics.Summary:
    """Mean, recall and decay of F."""
    return metrics.summarize(self.contour)

  def to_record(self) -> dict[str, Any]:
    """Everything, as JSON represents it; NaN is None."""
    return {
      "name": self.name,
      "sequence": self.video,
      "object_id": self.object_id,
      "predicted_id": self.predicted_id,
      "category": self.category,
      "J": {name: _number(value) for name, value in self.j._asdict().items()},
      "F": {name: _number(value) for name, value in self.f._asdict().items()},
      "T": _number(self.stability),
      "frames": list(self.frames),
      "J_per_frame": [_number(value) for value in self.region],
      "F_per_frame": [_number(value) for value in self.contour],
    }

  @classmethod
  def from_record(cls, record: Mapping[str, Any]) -> "Row":
    """The row that `to_record` represents, equal to the last bit."""
    return cls(
      record["name"],
      record["sequence"],
      tuple(record["frames"]),
      np.array(record["J_per_frame"], float),  # None becomes NaN
      np.array(record["F_per_frame"], float),
      record["object_id"],
      record["predicted_id"],
      record["category"],
      math.nan if record["T"] is None else record["T"],
    )


@dataclasses.dataclass(frozen=True)
class Result:
  """Scores of a set of videos under one protocol.

  Attributes:
    protocol: name of the protocol.
    description: the protocol in one sentence.
    rows: one row per scored object or video.
    summary: the protocol's averages by name, as fractions.
    warnings: what makes scores doubtful: name of the video, and one line.
    readings: how masks were read that do not hold ids, one line per kind.
  """

  protocol: str
  description: str
  rows: tuple[Row, ...]
  summary: Mapping[str, float]
  warnings: tuple[tuple[str, str], ...] = ()
  readings: tuple[str, ...] = ()

  def by_instances(self) -> dict[int, dict[str, float]]:
    """Averages over the objects of videos with one object, with two, and so on.

    A video has as many objects as rows.

    Source: Ventura et al., CVPR 2019 (RVOS), table 3.
    """
    counts = collections.Counter(row.video for row in self.rows)
    groups: dict[int, list[Row]] = {count: [] for count in sorted(set(counts.values()))}
    for row in self.rows:
      groups[counts[row.video]].append(row)
    return {count: average(rows) for count, rows in groups.items()}

  def instances_table(self) -> str:
    """J and F in percent by the number of objects in a video."""
    lines = ["objects  videos       J       F"]
    counts = collections.Counter(row.video for row in self.rows)
    for count, means in self.by_instances().items():
      videos = list(counts.values()).count(count)
      values = _percent(means["J-Mean"]) + _percent(means["F-Mean"])
      lines.append(f"{count:>7}{videos:>8}{values}")
    return "\n".join(lines)

  def global_csv(self) -> str:
    """One line of averages; for DAVIS 2017 equal to the toolkit's file."""
    values = ",".join(_decimal(value) for value in self.summary.values())
    return f"{','.join(self.summary)}\n{values}\n"

  def rows_csv(self) -> str:
    """One line per row, in the toolkit's columns `Sequence,J-Mean,F-Mean`."""
    lines = ["Sequence,J-Mean,F-Mean"]
    lines += [
      f"{row.name},{_decimal(row.j.mean)},{_decimal(row.f.mean)}" for row in self.rows
    ]
    return "\n".join(lines) + "\n"

  def to_json(self) -> str:
    """Everything in full precision, values of each frame included; NaN is null."""
    return json.dumps(
      {
        "protocol": self.protocol,
        "rule": self.description,
        "summary": {name: _number(value) for name, value in self.summary.items()},
        "rows": [row.to_record() for row in self.rows],
      },
      indent=1,
    )

  def table(self) -> str:
    """All numbers in percent, in aligned columns for a terminal."""
    width = max(map(len, [*self.summary, *(row.name for row in self.rows)]))
    with_t = any(not math.isnan(row.stability) for row in self.rows)
    heads = ["J", "recall", "decay", "F", "recall", "decay"] + ["T"] * with_t
    lines = [" " * width + "".join(f"{head:>8}" for head in heads)]
    for row in self.rows:
      values = [*row.j, *row.f] + [row.stability] * with_t
      lines.append(f"{row.name:<{width}}{''.join(map(_percent, values))}")
    lines.append("")
    lines += [f"{name:<{width}}{_percent(v)}" for name, v in self.summary.items()]
    return "\n".join(lines)


def average(rows: Sequence[Row]) -> dict[str, float]:
  """The toolkit's global numbers: plain averages over rows, and J&F of their means."""
  columns = np.array([[*row.j, *row.f] for row in rows])
  mean = [metrics.nan_mean(column) for column in columns.T]
  return dict(zip(CSV_COLUMNS, [(mean[0] + mean[3]) / 2, *mean]))


def _decimal(value: float) -> str:
  return "" if math.isnan(value) else f"{value:.3f}"


def _percent(value: float) -> str:
  if math.isnan(value):
    return "       -"
  return f"{round(100 * value, 1) + 0.0:8.1f}"  # + 0.0 turns -0.0 into 0.0


def _number(value: float) -> float | None:
  return None if math.isnan(value) else float(value)
