"""The timeline of an object as SVG: its score per frame and its doubtful frames."""

import dataclasses
import html
import math
from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np
from jaxtyping import Float

from vosjax import viz
from vosjax.media.outputs.records import Record

_WIDTH, _HEIGHT = 960, 90
_LEFT, _RIGHT, _TOP, _BOTTOM = 34, 10, 14, 24  # pixels around the curve
_MAX_POINTS = 900  # of a curve; the lowest of several frames stands for them
_MIN_BAND = 2.0  # pixels; a single lost frame of a long video remains visible


@dataclasses.dataclass(frozen=True)
class Doubt:
  """A range of frames in which an object is probably lost.

  Attributes:
    object_id: the object.
    start: number of the first frame.
    end: number of the last frame.
    worst: number of the frame with the lowest score.
    score: of that frame.
  """

  object_id: int
  start: int
  end: int
  worst: int
  score: float


@dataclasses.dataclass(frozen=True)
class Timeline:
  """What is known of an object over time.

  Attributes:
    object_id: the object.
    names: of all frames of the video.
    times: of all frames, in seconds.
    scores: per frame; NaN where there is none, or where the object is not tracked.
    area: share of the frame; NaN where the object is not tracked.
    doubts: ranges in which it is probably lost.
    given: numbers of the frames for which its mask was given, ascending.
  """

  object_id: int
  names: Sequence[str]
  times: Sequence[float]
  scores: Float[np.ndarray, "t"]
  area: Float[np.ndarray, "t"]
  doubts: Sequence[Doubt]
  given: Sequence[int]

  @property
  def has_scores(self) -> bool:
    """Whether any frame has a score."""
    return not np.isnan(self.scores).all()

  def describe(self) -> str:
    """One sentence in HTML."""
    frames = np.flatnonzero(~np.isnan(self.area))
    first, last = (html.escape(self.names[frames[n]]) for n in (0, -1))
    text = f"Frames {first} to {last}"
    if self.has_scores:
      text += f", mean score {np.nanmean(self.scores):.2f}"
    else:
      text += ", no scores: the curve is its share of the frame"
    lost = sum(doubt.end - doubt.start + 1 for doubt in self.doubts)
    if lost:
      text += f", probably lost in {lost} frame{'s' * (lost > 1)}"
    return text + "."


def collect(
  records: Iterable[Record], prompts: Mapping[int, Collection[int]]
) -> list[Timeline]:
  """The timelines of all objects, by id.

  Args:
    records: of all frames, as `records.describe` returns them.
    prompts: ids of the objects in the mask of each given frame, by its number.
  """
  names, times = [], []
  found: dict[int, list[tuple[int, float, float, bool]]] = {}
  for index, record in enumerate(records):
    names.append(record["name"])
    times.append(record["time"])
    scores = scores_of(record)
    lost = record["lost"] or [False] * len(record["objects"])
    for object_id, area, is_lost in zip(record["objects"], record["area"], lost):
      found.setdefault(object_id, []).append((index, scores[object_id], area, is_lost))
  timelines = []
  for object_id, rows in sorted(found.items()):
    columns = np.full((2, len(names)), np.nan)
    for index, score, area, _ in rows:
      columns[:, index] = score, area
    lost_frames = [index for index, *_, is_lost in rows if is_lost]
    doubts = _find_ranges(object_id, lost_frames, columns[0])
    given = sorted(index for index, ids in prompts.items() if object_id in ids)
    timelines.append(
      Timeline(object_id, names, times, columns[0], columns[1], doubts, given)
    )
  return timelines


def scores_of(record: Record) -> dict[int, float]:
  """Score of each object in a frame; NaN where it has none."""
  scores = record["scores"] or [math.nan] * len(record["objects"])
  return dict(zip(record["objects"], scores))


def _find_ranges(
  object_id: int, lost: Sequence[int], scores: Float[np.ndarray, "t"]
) -> list[Doubt]:
  """The ranges of consecutive frames among `lost`, ascending numbers."""
  known = set(lost)
  starts = [t for t in lost if t - 1 not in known]
  ends = [t for t in lost if t + 1 not in known]
  doubts = []
  for start, end in zip(starts, ends):
    inside = scores[start : end + 1]
    worst = start if np.isnan(inside).all() else start + int(np.nanargmin(inside))
    doubts.append(Doubt(object_id, start, end, worst, float(scores[worst])))
  return doubts


def draw(line: Timeline) -> str:
  """An SVG whose colours come from the page: --line, --doubt and --given."""
  height = _TOP + _HEIGHT + _BOTTOM
  total = max(1, len(line.names) - 1)
  scale = (_WIDTH - _LEFT - _RIGHT) / total
  values = line.scores if line.has_scores else _relative(line.area)
  parts = [f'<svg viewBox="0 0 {_WIDTH} {height}" font-size="11" role="img">']
  for level in (0.0, 0.5, 1.0):
    y = _TOP + _HEIGHT * (1 - level)
    parts.append(
      f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y}" y2="{y}" '
      'stroke="var(--line)"/>'
    )
    if line.has_scores:
      parts.append(
        f'<text x="{_LEFT - 6}" y="{y + 4}" text-anchor="end">{level:.1f}</text>'
      )
  parts += [_band(line, doubt, scale) for doubt in line.doubts]
  parts.append(_curve(values, scale, color(line.object_id)))
  parts += [_marker(line, index, scale) for index in line.given]
  parts += _ticks(line, scale)
  return "".join([*parts, "</svg>"])


def color(object_id: int) -> str:
  """The colour of an object in overlays, for CSS."""
  red, green, blue = viz.bright_palette()[object_id].tolist()
  return f"#{red:02x}{green:02x}{blue:02x}"


def _relative(area: Float[np.ndarray, "t"]) -> Float[np.ndarray, "t"]:
  """The area relative to its largest."""
  return area / max(np.nanmax(area), 1e-9)


def _band(line: Timeline, doubt: Doubt, scale: float) -> str:
  width = max(_MIN_BAND, (doubt.end - doubt.start + 1) * scale)
  x = _LEFT + (doubt.start - 0.5) * scale
  x = max(_LEFT, min(x, _WIDTH - _RIGHT - width))
  text = f"probably lost: {line.names[doubt.start]} to {line.names[doubt.end]}"
  return (
    f'<g><title>{html.escape(text)}</title><rect x="{x:.1f}" y="{_TOP}" '
    f'width="{width:.1f}" height="{_HEIGHT}" fill="var(--doubt)" opacity="0.16"/>'
    f'<rect x="{x:.1f}" y="{_TOP + _HEIGHT}" width="{width:.1f}" height="5" '
    'fill="var(--doubt)"/></g>'
  )


def _curve(values: Float[np.ndarray, "t"], scale: float, stroke: str) -> str:
  """The curve and the area below it, broken where there are no values."""
  known = ~np.isnan(values)
  step = -(-len(values) // _MAX_POINTS)
  parts = []
  begins = np.flatnonzero(known & ~np.concatenate([[False], known[:-1]]))
  for begin in begins.tolist():
    gaps = np.flatnonzero(~known[begin:])
    end = begin + int(gaps[0]) if len(gaps) else len(values)
    points = []
    for first in range(begin, end, step):
      lowest = first + int(values[first : min(end, first + step)].argmin())
      y = _TOP + _HEIGHT * (1 - values[lowest])
      points.append(f"{_LEFT + lowest * scale:.1f},{y:.1f}")
    base = _TOP + _HEIGHT
    left, right = (point.partition(",")[0] for point in (points[0], points[-1]))
    parts.append(
      f'<polygon points="{left},{base} {" ".join(points)} {right},{base}" '
      f'fill="{stroke}" opacity="0.25"/>'
      f'<polyline points="{" ".join(points)}" fill="none" stroke="{stroke}" '
      'stroke-width="2" stroke-linejoin="round" stroke-linecap="round"/>'
    )
  return "".join(parts)


def _marker(line: Timeline, index: int, scale: float) -> str:
  """A triangle above a frame whose mask was given."""
  x, kind = _LEFT + index * scale, "given" if index == line.given[0] else "corrected"
  text = html.escape(f"mask {kind} at frame {line.names[index]}")
  return (
    f'<path d="M{x - 5:.1f},2 h10 l-5,9 z" fill="var(--given)"><title>{text}</title>'
    f'</path><line x1="{x:.1f}" x2="{x:.1f}" y1="11" y2="{_TOP + _HEIGHT}" '
    'stroke="var(--given)" stroke-dasharray="3 3"/>'
  )


def _ticks(line: Timeline, scale: float) -> list[str]:
  """Names of some frames below the curve."""
  total, parts = len(line.names), []
  step = max(1, -(-(total - 1) // 6))
  for index in range(0, total, step):
    anchor = "start" if index == 0 else "middle"
    if _LEFT + index * scale > _WIDTH - 40:
      anchor = "end"
    parts.append(
      f'<text x="{_LEFT + index * scale:.1f}" y="{_TOP + _HEIGHT + 19}" '
      f'text-anchor="{anchor}">{html.escape(line.names[index])}</text>'
    )
  return parts
