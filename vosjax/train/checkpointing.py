"""Checkpoints of a run, written in the background, completely or not at all."""

import json
import logging
import pathlib
import shutil
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import jax
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers as policies

from vosjax import files
from vosjax.train import processes
from vosjax.train.state import TrainState

LOG = logging.getLogger("vosjax")

# More than is written beside the arrays, unless a line of the log is the mean of more
# than ten thousand steps.
_METADATA_BYTES = 2**22
_STATE = "state"
_CHECKSUMS = "checksums.json"
_UNLOGGED = "unlogged.json"
_SCORE = "score.json"
_FORMER = "metrics"  # orbax's folder of scores, in checkpoints of earlier versions
_DELETED = "deleted"  # folder of checkpoints that are not kept
_DAMAGED = "damaged-"  # before the step, in the name of a folder that was set aside


class DamagedError(ValueError):
  """A checkpoint cannot be read, or none of them."""


class Checkpoints:
  """The latest states of a run, and the best one.

  A state is written to a temporary folder and then renamed, and it is renamed again
  before it is deleted, so that only complete checkpoints remain, whenever the process
  is killed. Its score is added later, since validation takes a long time.

  Args:
    directory: made if absent.
    keep: number of latest states to keep.
  """

  def __init__(self, directory: pathlib.Path, *, keep: int):
    self._directory = directory.resolve()
    self._saving: tuple[int, Sequence[Mapping[str, float]]] | None = None
    self._delete_rest()
    self._scores: dict[int, float] = dict(processes.from_first(self._read_scores()))
    self._manager = ocp.CheckpointManager(
      self._directory,
      options=ocp.CheckpointManagerOptions(
        cleanup_tmp_directories=True,
        preservation_policy=policies.AnyPreservationPolicy(
          [
            policies.LatestN(keep),
            _Best(self._scores),
          ]
        ),
        todelete_subdir=_DELETED,
        async_options=ocp.AsyncOptions(post_finalization_callback=self._complete),
      ),
    )

  def latest(self) -> int | None:
    """Step of the latest complete checkpoint; None if there is none."""
    return self._manager.latest_step()

  def best(self) -> int | None:
    """Step of the complete checkpoint with the highest score; None if none has one."""
    self.wait()
    return _best(self._scores, self._manager.all_steps())

  def steps(self) -> list[int]:
    """Steps of all complete checkpoints, the latest first."""
    return sorted(self._manager.all_steps(), reverse=True)

  def restore(self, like: TrainState, step: int) -> TrainState:
    """The state of a step, which must have the tree, shapes and devices of `like`.

    Raises:
      DamagedError: it cannot be read.
      ValueError: an earlier version of vosjax wrote it.
    """
    self._check(self._directory / str(step))
    abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
    args = ocp.args.Composite(state=ocp.args.StandardRestore(abstract))
    try:
      return self._manager.restore(step, args=args)[_STATE]
    except PermissionError:
      raise
    except Exception as error:  # orbax and TensorStore raise anything
      reason = str(error).strip().partition("\n")[0][:200]
      raise _damaged(self._directory / str(step), reason) from error

  def _check(self, folder: pathlib.Path) -> None:
    """Raises a DamagedError if a file has changed, or a ValueError if it is too old.

    orbax would notice most of it, but from threads that print tracebacks.
    """
    if (folder / _FORMER).exists():
      raise ValueError(
        f"the checkpoint {folder} is of an earlier version of vosjax. Finish the run "
        "with that version, or begin another --workdir."
      )
    _read_json(folder / _UNLOGGED)  # raises if it is damaged
    if files.checksums(folder / _STATE) != _read_json(folder / _CHECKSUMS):
      raise _damaged(folder, "files are missing or have changed")

  def _complete(self) -> None:
    """Adds our files to a checkpoint before orbax gives it its final name."""
    if not processes.is_first():
      return
    assert self._saving is not None
    step, unlogged = self._saving
    for folder in self._directory.glob(f"{step}.*"):
      files.write_json(folder / _UNLOGGED, unlogged)
      files.write_json(folder / _CHECKSUMS, files.checksums(folder / _STATE))

  def set_aside(self, steps: Collection[int]) -> None:
    """Renames checkpoints that cannot be read, so that their steps can be saved."""
    if processes.is_first():
      for step in steps:
        aside = self._directory / f"{_DAMAGED}{step}"
        shutil.rmtree(aside, ignore_errors=True)  # of an earlier time
        (self._directory / str(step)).rename(aside)
    processes.barrier("damaged checkpoints")
    for step in steps:
      self._scores.pop(step, None)
    self._manager.reload()

  def require_none_set_aside(self) -> None:
    """Raises a DamagedError if checkpoints were set aside."""
    if found := sorted(path.name for path in self._directory.glob(f"{_DAMAGED}*")):
      raise DamagedError(
        f"{self._directory} holds no checkpoint that can be read: {', '.join(found)}. "
        "Delete the run's folder to train from the beginning."
      )

  def _read_scores(self) -> list[tuple[int, float]]:
    """Steps and scores, of the first process's disk."""
    if not processes.is_first():
      return []
    for draft in self._directory.glob("*/.*.part*"):  # of a process that was killed
      draft.unlink()
    found = []
    for path in self._directory.glob(f"[0-9]*/{_SCORE}"):
      try:
        found.append((int(path.parent.name), float(_read_json(path)["score"])))
      except (DamagedError, KeyError, TypeError, ValueError):
        LOG.warning(
          "warning: %s is damaged; its checkpoint counts as not validated, and is not "
          "kept as the best.",
          path,
        )
    return found

  def unlogged(self, step: int) -> list[dict[str, float]]:
    """What `save` was given with the state of a step."""
    return _read_json(self._directory / str(step) / _UNLOGGED)

  def score(self, step: int) -> float | None:
    """The score of a step; None if it has none."""
    return self._scores.get(step)

  def add_score(self, step: int, score: float) -> None:
    """Adds the score of a state that was saved; the one with the highest is kept.

    All processes must call it with the same score.
    """
    self.wait()
    if processes.is_first():
      # In braces, so that half of a number is not a number.
      files.write_json(self._directory / str(step) / _SCORE, {"score": score})
    self._scores[step] = score

  def save(
    self,
    step: int,
    state: Any,
    *,
    unlogged: Sequence[Mapping[str, float]] = (),
  ) -> None:
    """Starts to write the state, unless this step is saved already.

    Args:
      step: names the checkpoint.
      state: tree of arrays, which are copied before this returns.
      unlogged: metrics of the steps since the last line of the log, which a resumed
        run needs for its next line.

    Raises:
      OSError: the disk is too full for it.
    """
    if step == self.latest():
      return
    self.wait()
    self._delete_rest()
    size = sum(leaf.nbytes for leaf in jax.tree.leaves(state))
    files.require_space(self._directory, size + _METADATA_BYTES)
    self._saving = step, [dict(values) for values in unlogged]
    self._manager.save(
      step, args=ocp.args.Composite(state=ocp.args.StandardSave(state))
    )

  def wait(self) -> None:
    """Waits until what was saved is on disk.

    Raises:
      OSError: the disk is full.
    """
    try:
      self._manager.wait_until_finished()
    except ValueError as error:  # of orbax's storage
      if "RESOURCE_EXHAUSTED" not in str(error):
        raise
      raise files.disk_full(self._directory) from error

  def close(self) -> None:
    """Waits until everything is on disk."""
    self.wait()
    self._manager.close()
    self._delete_rest()

  def _delete_rest(self) -> None:
    """Deletes the checkpoints that are not kept, after orbax has renamed them."""
    if processes.is_first():
      shutil.rmtree(self._directory / _DELETED, ignore_errors=True)


def _damaged(folder: pathlib.Path, reason: str) -> DamagedError:
  return DamagedError(f"the checkpoint {folder} cannot be read ({reason})")


class _Best(policies.PreservationPolicy):
  """Keeps the checkpoint with the highest score.

  Args:
    scores: by step, of the checkpoints that have one.
  """

  def __init__(self, scores: Mapping[int, float]):
    self._scores = scores

  def should_preserve(
    self, checkpoints: Sequence[Any], *, context: Any
  ) -> Sequence[bool]:
    """Whether each checkpoint is kept."""
    del context
    steps = [checkpoint.step for checkpoint in checkpoints]
    best = _best(self._scores, steps)
    return [step == best for step in steps]


def _best(scores: Mapping[int, float], steps: Iterable[int]) -> int | None:
  """The step with the highest score, the latest of equals; None if none has one."""
  scored = [(scores[step], step) for step in steps if step in scores]
  return max(scored)[1] if scored else None


def _read_json(path: pathlib.Path) -> Any:
  """The content of a file in a checkpoint's folder."""
  try:
    return json.loads(path.read_bytes())
  except (FileNotFoundError, ValueError) as error:
    raise _damaged(path.parent, f"{path.name}: {error}") from error
