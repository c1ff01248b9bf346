"""The frames in which the network is least sure of an object, found as frames come."""

import math
from collections.abc import Collection, Sequence

from vosjax.media.outputs import timeline
from vosjax.media.outputs.records import Record
from vosjax.media.outputs.timeline import Doubt, Timeline

_WINDOW = 10  # frames, of which the least sure one stands for all
_KEPT = 24  # windows with the lowest scores
_SHOWN = 6
_PARTS = 24  # shown frames of an object are at least such a part of the video apart


class LeastSure:
  """The least sure frame of those windows in which scores are lowest.

  Frames whose mask was given, and those in which an object has no pixel, do not count.
  """

  def __init__(self) -> None:
    self._worst: dict[tuple[int, int], Doubt] = {}  # by object and window

  def add(self, index: int, record: Record, given: Collection[int]) -> list[Doubt]:
    """Adds a frame.

    Args:
      index: number of the frame.
      record: of the frame.
      given: objects whose masks were given in it.

    Returns:
      The objects that are less sure here than in all earlier frames of the window.
    """
    scores = timeline.scores_of(record)
    found = []
    for object_id, area in zip(record["objects"], record["area"]):
      score = scores[object_id]
      if object_id in given or not area or math.isnan(score):
        continue
      doubt = Doubt(object_id, index, index, index, score)
      known = self._worst.get(key_of(doubt))
      if known is None or score < known.score:
        self._worst[key_of(doubt)] = doubt
        found.append(doubt)
    while len(self._worst) > _KEPT:
      del self._worst[max(self._worst, key=lambda key: self._worst[key].score)]
    return [doubt for doubt in found if doubt in self]

  def __contains__(self, doubt: Doubt) -> bool:
    return self._worst.get(key_of(doubt)) == doubt

  def choose(self, lines: Sequence[Timeline]) -> list[Doubt]:
    """The frames to show, lowest scores first; those of an object lie apart."""
    frames = max((len(line.names) for line in lines), default=0)
    apart = max(_WINDOW, frames // _PARTS)
    chosen: list[Doubt] = []
    for doubt in sorted(self._worst.values(), key=lambda doubt: doubt.score):
      if all(
        other.object_id != doubt.object_id or abs(other.worst - doubt.worst) >= apart
        for other in chosen
      ):
        chosen.append(doubt)
    return chosen[:_SHOWN]


def key_of(doubt: Doubt) -> tuple[int, int]:
  """Object and window."""
  return doubt.object_id, doubt.worst // _WINDOW
