"""What decoding all frames of a video file shows: which are whole, which are lost."""

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from vosjax.media import pixels
from vosjax.media.video_index import PacketIndex

if TYPE_CHECKING:
  import av

_MAX_LISTED = 20  # ranges of damaged frames that are listed one by one
_MOST_LATE = 0.1  # of the frames; with more, time stamps are wrong rather than frames
_MOST_JUMPS = 0.05  # of the steps in time; with more, the rate is variable


@dataclasses.dataclass
class Survey:
  """Facts about decoded frames, in the order in which they are shown.

  Attributes:
    stamps: presentation time stamps; None where a frame has none.
    sizes: (height, width) of each upright frame.
    incomplete: indices of frames that the decoder had to patch.
    kept: the frames themselves; None if they do not fit in memory.
    largest: the largest 16-bit value; 0 if values have fewer bits.
    is_interlaced: whether a frame consists of two fields.
    orientation: of the first frame.
    errors: what could not be decoded.
    late: indices of frames that the decoder returned after later ones.
  """

  stamps: list[int | None] = dataclasses.field(default_factory=list)
  sizes: list[tuple[int, int]] = dataclasses.field(default_factory=list)
  incomplete: list[int] = dataclasses.field(default_factory=list)
  kept: "list[av.VideoFrame] | None" = None
  largest: int = 0
  is_interlaced: bool = False
  orientation: pixels.Orientation = pixels.Orientation()
  errors: list[str] = dataclasses.field(default_factory=list)
  late: list[int] = dataclasses.field(default_factory=list)

  @property
  def is_ordered(self) -> bool:
    """Whether time stamps tell the order of the frames."""
    stamps = self.stamps
    return None not in stamps and all(a <= b for a, b in zip(stamps, stamps[1:]))  # type: ignore[operator]

  def is_damaged(self, index: PacketIndex) -> bool:
    """Whether something could not be decoded, or packets are marked as damaged."""
    faults = self.errors, self.incomplete, self.late, index.damaged, index.error
    return any(map(bool, faults))

  def in_order(self, index: PacketIndex) -> "Survey":
    """The survey with its frames in the order of time, if packets vouch for it.

    After a lost keyframe, a decoder returns some frames too late. Where nothing is
    damaged and many frames seem to be late, it is the time stamps that are wrong.
    """
    known = set(index.stamps)
    stamps = [stamp for stamp in self.stamps if stamp in known]
    if self.is_ordered or not index.is_timed or len(stamps) < len(self.stamps):
      return self
    latest = np.maximum.accumulate(stamps)
    is_late = np.asarray(stamps) < latest
    if not self.is_damaged(index) and is_late.mean() > _MOST_LATE:
      return self
    order = np.argsort(stamps, kind="stable").tolist()
    patched = set(self.incomplete)
    return dataclasses.replace(
      self,
      stamps=[stamps[n] for n in order],
      sizes=[self.sizes[n] for n in order],
      incomplete=[place for place, n in enumerate(order) if n in patched],
      kept=None if self.kept is None else [self.kept[n] for n in order],
      late=[place for place, n in enumerate(order) if is_late[n]],
    )


def survey_frames(
  frames: "Iterable[av.VideoFrame]",
  expected: int,
  most_bytes: int,
  progress: Callable[[int, int], None] | None,
) -> Survey:
  """Looks at each frame, without converting its colours.

  Args:
    frames: as they are decoded.
    expected: number of frames.
    most_bytes: keep the frames if all of them take no more memory.
    progress: called with the number of frames seen and expected.
  """
  survey = Survey()
  for number, frame in enumerate(frames):
    if not number:
      survey.orientation = pixels.orientation_of(frame)
      if pixels.frame_bytes(frame) * expected <= most_bytes:
        survey.kept = []
    survey.stamps.append(frame.pts)
    survey.sizes.append(pixels.upright_size(frame, survey.orientation))
    survey.is_interlaced |= frame.interlaced_frame
    if frame.is_corrupt:
      survey.incomplete.append(number)
    deep = pixels.deep_values(frame)
    if deep is not None:
      survey.largest = max(survey.largest, int(deep.max()))
    if survey.kept is not None:
      survey.kept.append(frame)
    if progress is not None:
      progress(number + 1, max(expected, number + 1))
  return survey


@dataclasses.dataclass(frozen=True)
class UsableFrames:
  """The frames of a file that can be used, and what is wrong with the others.

  Attributes:
    numbers: of the frames in the undamaged video, as far as it is known.
    stamps: what identifies them in the file: time stamps if `is_timed`, otherwise the
      number of frames that are decoded before them.
    is_timed: whether time stamps tell the order of frames.
    decoded: their indices among the decoded frames.
    damage: one clause for each fault.
  """

  numbers: tuple[int, ...]
  stamps: tuple[int, ...]
  is_timed: bool
  decoded: tuple[int, ...]
  damage: tuple[str, ...]


def usable_frames(
  survey: Survey, index: PacketIndex, time_base: Fraction, cut_off: str | None
) -> UsableFrames:
  """Compares what was decoded with what the packets promise.

  Frames that are lost keep their numbers, so that later ones are not renamed. Packets
  that show no frame are no damage if nothing else is wrong: some codecs have them.

  Args:
    survey: of all frames.
    index: of the packets.
    time_base: seconds of one unit of the time stamps.
    cut_off: why the file must be incomplete; None if it does not look so.
  """
  is_timed = survey.is_ordered
  stamps: Sequence[int] = range(len(survey.stamps))
  if is_timed:
    stamps = [stamp for stamp in survey.stamps if stamp is not None]
  every = list(stamps)
  is_damaged = survey.is_damaged(index) or cut_off is not None
  if is_damaged and is_timed and index.is_timed:
    every = sorted((Counter(index.stamps) | Counter(stamps)).elements())
  number_of = _match(every, stamps)
  # A frame whose own data is incomplete is lost, although a part of it was decoded.
  broken = set(index.damaged) if is_timed else set()
  resized = [n for n, size in enumerate(survey.sizes) if size != survey.sizes[0]]
  whole = [n for n, stamp in enumerate(stamps) if stamp not in broken]
  lost = sorted(set(range(len(every))) - {number_of[n] for n in whole})
  patched = [number_of[n] for n in survey.incomplete if n in set(whole)]
  names = _Names(every, time_base if is_timed else None)
  damage = [] if cut_off is None else [f"is cut off: {cut_off}"]
  damage += [f"{ranges} lost" for ranges in names.ranges(lost)]
  damage += [f"{ranges} incomplete" for ranges in names.ranges(patched)]
  damage += [
    f"{ranges} {_size(survey.sizes[resized[0]])}, but the first frame is "
    f"{_size(survey.sizes[0])}"
    for ranges in names.ranges([number_of[n] for n in resized])
  ]
  if is_damaged and is_timed:
    damage += _time_gaps(names)
    damage += _traces(names, [*lost, *patched], index)
  elif is_damaged and len(index.stamps) > len(stamps):
    damage.append(f"{len(index.stamps) - len(stamps)} frames are lost")
  if is_damaged and not damage:
    damage += [f"{ranges} out of order" for ranges in names.ranges(survey.late)]
  if is_damaged and not damage:
    errors = (*survey.errors, index.error or "data is marked as damaged")
    damage.append(f"decoding failed in part ({errors[0]})")
  chosen = sorted(set(whole) - set(resized))
  return UsableFrames(
    tuple(number_of[n] for n in chosen),
    tuple(stamps[n] for n in chosen),
    is_timed,
    tuple(chosen),
    tuple(damage),
  )


def time_jumps(stamps: Sequence[int], time_base: Fraction) -> list[str]:
  """Where time jumps in a video of an otherwise constant rate, one clause for each.

  Some containers go on after a part that was destroyed as if it had never been there.
  Nothing else tells it from a pause in a recording.

  Args:
    stamps: time stamps of the frames, ascending.
    time_base: seconds of one unit of the time stamps.
  """
  steps = np.diff(np.asarray(stamps, np.float64))
  if not len(steps):
    return []
  usual = float(np.median(steps))
  is_jump = steps > 1.5 * usual
  others = steps[~is_jump]
  rounding = max(0.1 * usual, 0.0015 / float(time_base))
  many = is_jump.sum() > max(1, _MOST_JUMPS * len(steps))
  if many or np.abs(others - usual).max() > rounding:
    return []
  names = _Names(stamps, time_base)
  jumps = np.flatnonzero(is_jump).tolist()
  clauses = []
  for position in jumps[:_MAX_LISTED]:
    count = max(1, round(float(steps[position] / others.mean())) - 1)
    some = "a frame was" if count == 1 else f"{count} frames were"
    clauses.append(
      f"after {names.one(position)}, time jumps by "
      f"{steps[position] * float(time_base):.2f} s, as if {some} lost"
    )
  if len(jumps) > _MAX_LISTED:
    clauses.append(f"time jumps {len(jumps) - _MAX_LISTED} more times")
  return clauses


def _match(every: Sequence[int], stamps: Sequence[int]) -> list[int]:
  """Index in `every` of each of `stamps`, which ascend and are all in it."""
  indices, position = [], 0
  for stamp in stamps:
    while every[position] != stamp:
      position += 1
    indices.append(position)
    position += 1
  return indices


class _Names:
  """Names frames in messages by their numbers and times."""

  def __init__(self, stamps: Sequence[int], time_base: Fraction | None):
    self.stamps = stamps
    self._time_base = time_base

  def ranges(self, numbers: Sequence[int]) -> list[str]:
    """Consecutive numbers joined: "frames 00003 to 00007 (0.12 to 0.28 s) are"."""
    joined: list[tuple[int, int]] = []
    for number in numbers:
      if joined and joined[-1][1] == number - 1:
        joined[-1] = joined[-1][0], number
      else:
        joined.append((number, number))
    listed = [self.range(*ends) for ends in joined[:_MAX_LISTED]]
    if len(joined) > _MAX_LISTED:
      listed.append(f"{len(joined) - _MAX_LISTED} more parts of the video are")
    return listed

  def range(self, first: int, last: int) -> str:
    if first == last:
      return f"frame {first:05d}{self._times(first)} is"
    return f"frames {first:05d} to {last:05d}{self._times(first, last)} are"

  def one(self, number: int) -> str:
    return f"frame {number:05d}{self._times(number)}"

  def _times(self, *numbers: int) -> str:
    if self._time_base is None:
      return ""
    times = [
      f"{float((self.stamps[n] - self.stamps[0]) * self._time_base):.2f}"
      for n in numbers
    ]
    return f" ({' to '.join(times)} s)"


def _time_gaps(names: _Names) -> list[str]:
  """Where frames must be missing of which no packet is left."""
  steps = np.diff(np.asarray(names.stamps, np.float64))
  if not len(steps):
    return []
  usual = max(float(np.median(steps)), 1.0)
  gaps = []
  for position in np.flatnonzero(steps > 1.5 * usual)[:_MAX_LISTED].tolist():
    count = round(float(steps[position]) / usual) - 1
    some = "a frame is" if count == 1 else f"about {count} frames are"
    gaps.append(f"{some} missing after {names.one(position)}")
  return gaps


def _traces(names: _Names, bad: Sequence[int], index: PacketIndex) -> list[str]:
  """How far the damage spreads: frames refer to earlier ones, up to a keyframe."""
  if not bad or len(index.seek_points) == len(index.stamps):
    return []  # every frame is a keyframe
  keys = [p.stamp for p in index.seek_points if p.stamp > names.stamps[max(bad)]]
  if keys:
    end = f"up to the keyframe {names.one(list(names.stamps).index(keys[0]))}"
  else:
    end = "up to the end"
  return [f"frames around them may show traces, {end}"]


def _size(size: tuple[int, int]) -> str:
  return f"{size[1]}x{size[0]}"
