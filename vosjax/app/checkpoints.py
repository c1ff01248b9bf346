"""Saved sessions of a project, from which its passes go on."""

import pathlib
import time
from collections.abc import Sequence

from vosjax.app.plan import Pass
from vosjax.inference.engine import VideoSegmenter
from vosjax.inference.session import Session

_SECONDS = 4.0  # between checkpoints, which a correction computes again at most
_SHARE = 0.03  # of the time that saving may take, if that means longer intervals
_BUDGET = 2_000_000_000  # bytes of all checkpoints of a project
_SUFFIX = ".safetensors"


class Checkpoints:
  """The checkpoints of one project, a file each.

  They are named after their pass, frame and key, so that one is found only if the pass
  would come to the same state again.

  Args:
    folder: that holds them.
    segmenter: that their sessions belong to.
  """

  def __init__(self, folder: pathlib.Path, segmenter: VideoSegmenter):
    self._folder, self._segmenter = folder, segmenter
    self._saved = time.monotonic()
    self._cost = 0.0  # seconds that saving takes

  def is_due(self) -> bool:
    """Whether the latest one is so old that another is worth its time."""
    return time.monotonic() - self._saved > max(_SECONDS, self._cost / _SHARE)

  def save(self, one: Pass, position: int, session: Session) -> None:
    """Saves a session after the frame at a position of a pass.

    Raises:
      OSError: the file cannot be written.
    """
    path = self._folder / _name(one, position)
    if not path.exists():
      start = time.monotonic()
      session.save(path)
      self._cost = time.monotonic() - start
      self._thin_out()
    self._saved = time.monotonic()

  def latest(self, one: Pass, before: int) -> tuple[int, Session | None]:
    """The last session of a pass that has not come to a position yet.

    Returns:
      The position of its latest frame and the session; -1 and None if there is none.
    """
    self._saved = time.monotonic()
    for position in reversed(self._positions(one)):
      if position < before:
        path = self._folder / _name(one, position)
        try:
          return position, self._segmenter.load_session(path)
        except ValueError:  # damaged, or saved by another version
          path.unlink()
    return -1, None

  def forget_all_but(self, current: Sequence[Pass]) -> None:
    """Deletes those that none of the current passes would come to again."""
    wanted = {_name(one, k) for one in current for k in range(len(one.frames))}
    for path in self._folder.glob(f"*{_SUFFIX}"):
      if path.name not in wanted:
        path.unlink()

  def _positions(self, one: Pass) -> list[int]:
    """Positions of a pass at which there is a checkpoint, ascending."""
    names = {path.name for path in self._folder.glob(f"{one.name}-*{_SUFFIX}")}
    return [k for k in range(len(one.frames)) if _name(one, k) in names]

  def _thin_out(self) -> None:
    """Deletes those that leave the smallest gaps, until all fit in the budget.

    Of several passes, that with the most checkpoints loses one.
    """
    while sum(p.stat().st_size for p in self._folder.glob(f"*{_SUFFIX}")) > _BUDGET:
      passes: dict[str, list[pathlib.Path]] = {}
      for path in sorted(self._folder.glob(f"*{_SUFFIX}")):
        passes.setdefault(path.name.partition("-")[0], []).append(path)
      largest = max(passes.values(), key=len)
      if len(largest) < 3:
        return
      frames = [int(path.name.split("-")[1]) for path in largest]
      gaps = [abs(after - before) for before, after in zip(frames, frames[2:])]
      largest[1 + gaps.index(min(gaps))].unlink()


def _name(one: Pass, position: int) -> str:
  return f"{one.name}-{one.frames[position]:08d}-{one.keys[position]}{_SUFFIX}"
