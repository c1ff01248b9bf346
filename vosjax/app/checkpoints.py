"""States of the model between frames, from which following goes on."""

import copy
import pathlib
from collections.abc import Sequence

import jax
import numpy as np

from vosjax.app.plan import Pass
from vosjax.inference.engine import VideoSegmenter
from vosjax.inference.session import Session

_SHORTEST_INTERVAL = 24  # frames between checkpoints
_MOST = 40  # in one pass


class Checkpoints:
  """The checkpoints of one project."""

  def __init__(self, folder: pathlib.Path, length: int, segmenter: VideoSegmenter):
    self._folder, self._segmenter = folder, segmenter
    self._interval = max(_SHORTEST_INTERVAL, length // _MOST)
    self._kept: dict[tuple[str, int], Session] = {}

  def is_due(self, position: int) -> bool:
    return position % self._interval == 0

  def save(self, one: Pass, position: int, session: Session) -> None:
    self._kept[one.keys[position], one.frames[position]] = _copied(session)

  def latest(self, one: Pass, before: int) -> tuple[int, Session | None]:
    for position in range(before - 1, -1, -1):
      session = self._kept.get((one.keys[position], one.frames[position]))
      if session is not None:
        return position, _copied(session)
    return -1, None

  def forget_all_but(self, current: Sequence[Pass]) -> None:
    keys = {key for one in current for key in one.keys}
    for name in [name for name in self._kept if name[0] not in keys]:
      del self._kept[name]


def _copied(session: Session) -> Session:
  twin = copy.copy(session)
  twin.state = jax.tree.map(lambda x: np.array(x), session.state)
  twin.slots = copy.deepcopy(session.slots)
  twin.ranking = copy.deepcopy(session.ranking)
  return twin
