"""Surveys the content of videos, and reports problems before they are used."""

import collections
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from vosjax.data.codecs.label_values import Interpretation
from vosjax.data.formats.folders import FolderVideo
from vosjax.data.label_agreement import WHITE_IS_VOID, Readings
from vosjax.data.video import Video
from vosjax.labels import VOID

_NAME_WIDTH = 40  # columns


@dataclasses.dataclass(frozen=True)
class VideoSurvey:
  """The content of one video.

  Attributes:
    name: of the video.
    size: (height, width); (0, 0) if no frame is readable.
    num_frames: including unreadable ones.
    missing: names of the frames without a label map.
    empty: names of the frames whose label map shows no object.
    ids: object ids that occur, ascending.
    void: fraction of void among the annotated pixels.
    problems: what prevents its use, one line each, with file names.
    readings: names of the frames whose label maps do not hold ids, by what was done to
      get them.
  """

  name: str
  size: tuple[int, int]
  num_frames: int
  missing: tuple[str, ...]
  empty: tuple[str, ...]
  ids: tuple[int, ...]
  void: float
  problems: tuple[str, ...]
  readings: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)

  @classmethod
  def from_record(cls, record: dict[str, Any]) -> "VideoSurvey":
    """Restores a survey from `dataclasses.asdict` after a round trip through JSON."""
    fields: dict[str, Any] = {
      key: tuple(value) if isinstance(value, list) else value
      for key, value in record.items()
    }
    return cls(**fields)


def survey(
  video: Video, progress: Callable[[int], object] = lambda _: None
) -> VideoSurvey:
  """Decodes every frame and label map of a video, continuing past unusable ones.

  Args:
    video: the video to survey.
    progress: called with 1 for each frame.
  """
  problems: list[str] = []
  missing, empty = [], []
  counts = np.zeros(256, np.int64)
  size = (0, 0)
  readings = Readings()
  others: list[tuple[str, list[int]]] = []  # the values of masks that are not white
  white: dict[str, np.ndarray] = {}  # pixels by id of those that are
  for t, name in enumerate(video.frame_names):
    progress(1)
    try:
      height, width = video.frame(t).shape[:2]
      size = (height, width)
    except (OSError, ValueError) as error:
      problems.append(str(error))
    try:
      mask = _read(video, t)
    except (OSError, ValueError) as error:
      problems.append(str(error))
      continue
    if mask is None:
      missing.append(name)
      continue
    readings.add(name, mask)
    pixels = np.bincount(mask.labels.reshape(-1), minlength=256)
    if mask.black_and_white:
      white[name] = pixels
    else:
      others.append((name, np.flatnonzero(pixels).tolist()))
    counts += pixels
    if not pixels[1:VOID].any():
      empty.append(name)
  if readings.color_doubt:
    problems.append(f"{video.name}: {readings.color_doubt}")
  notes: dict[str, Sequence[str]] = dict(readings.notes)
  if white and readings.white_is_void(others):
    notes[WHITE_IS_VOID] = tuple(white)
    number = sum(pixels[1] for pixels in white.values())
    counts[1] -= number
    counts[VOID] += number
    empty += [name for name in white if name not in empty]
  elif reason := readings.doubt_white(others):
    problems.append(f"{video.name}: {reason}. Save ids in all masks.")
  if len(missing) == len(video):
    problems.append(f"{video.name}: no frame has a label map.")
  elif not problems and not counts[1:VOID].any():
    problems.append(f"{video.name}: no label map shows an object (255 is void).")
  return VideoSurvey(
    name=video.name,
    size=size,
    num_frames=len(video),
    missing=tuple(missing),
    empty=tuple(sorted(empty, key=video.frame_names.index)),
    ids=tuple((np.flatnonzero(counts[1:VOID]) + 1).tolist()),
    void=float(counts[VOID] / max(1, counts.sum())),
    problems=tuple(dict.fromkeys(problems)),
    readings=notes,
  )


def _read(video: Video, index: int) -> Interpretation | None:
  if isinstance(video, FolderVideo):
    return video.read_mask(index)
  labels = video.labels(index)
  return None if labels is None else Interpretation(labels)


def table(surveys: Sequence[VideoSurvey]) -> str:
  """Statistics of all videos, for a terminal."""
  frames = sum(s.num_frames for s in surveys)
  missing = sum(len(s.missing) for s in surveys)
  sizes = collections.Counter(f"{s.size[0]}x{s.size[1]}" for s in surveys)
  objects = [len(s.ids) for s in surveys]
  gaps = [s for s in surveys if s.ids and s.ids != tuple(range(1, len(s.ids) + 1))]
  rows = [
    ("videos", f"{len(surveys)}"),
    ("frames", f"{frames}"),
    ("frames with a label map", f"{frames - missing}"),
    ("frames without one, left out", f"{missing}"),
    ("label maps without an object", f"{sum(len(s.empty) for s in surveys)}"),
    (
      "sizes (height x width)",
      ", ".join(f"{size} ({count})" for size, count in sizes.most_common()),
    ),
    ("objects per video", f"{min(objects)} to {max(objects)}"),
    ("videos with gaps in the ids", f"{len(gaps)}"),
    ("videos with void", f"{sum(s.void > 0 for s in surveys)}"),
  ]
  return "\n".join(f"{name:<{_NAME_WIDTH}}{value}" for name, value in rows)


def details(surveys: Iterable[VideoSurvey]) -> Iterator[str]:
  """One line per video, followed by frames whose label maps are worth a look."""
  for s in surveys:
    yield (
      f"{s.name}: {s.num_frames} frames of {s.size[0]}x{s.size[1]}, ids "
      f"{', '.join(map(str, s.ids)) or 'none'}, void {100 * s.void:.2f} %"
    )
    if s.missing:
      yield f"  without label map: {' '.join(s.missing)}"
    if s.empty:
      yield f"  without object: {' '.join(s.empty)}"
    for note, names in s.readings.items():
      yield f"  {note}: {' '.join(names)}"
