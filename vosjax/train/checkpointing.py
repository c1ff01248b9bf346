"""Checkpoints of a run, written in the background, completely or not at all."""

import json
import logging
import math
import pathlib
import shutil
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers as policies

from vosjax import files
from vosjax.train import processes
from vosjax.train.state import TrainState

LOG = logging.getLogger("vosjax")

SCORE = "score"
_UNLOGGED = "unlogged"
# More than is written beside the arrays, unless a line of the log is the mean of more
# than ten thousand steps.
_METADATA_BYTES = 2**22
_SCORES = "metrics/metrics"  # orbax's file in the folder of a checkpoint
_STATE = "state"
_CHECKSUMS = "checksums.json"
_DELETED = "deleted"  # folder of checkpoints that are not kept
_DAMAGED = "damaged-"  # before the step, in the name of a folder that was set aside


class DamagedError(ValueError):
  """A checkpoint cannot be read, or none of them."""


class Checkpoints:
  """The latest states of a run, and the best one.

  A state is written to a temporary folder and then renamed, and it is renamed again
  before it is deleted, so that only complete checkpoints remain, whenever the process
  is killed.

  Args:
    directory: made if absent.
    keep: number of latest states to keep.
  """

  def __init__(self, directory: pathlib.Path, *, keep: int):
    self._directory = directory.resolve()
    self._saving: int | None = None
    self._delete_rest()
    # The first process renames them, perhaps while others would still read.
    self._set_aside(self._without_scores() if processes.is_first() else ())
    self._manager = ocp.CheckpointManager(
      self._directory,
      options=ocp.CheckpointManagerOptions(
        cleanup_tmp_directories=True,
        preservation_policy=policies.AnyPreservationPolicy(
          [
            policies.LatestN(keep),
            policies.BestN(get_metric_fn=_score, n=1),
          ]
        ),
        todelete_subdir=_DELETED,
        best_fn=_score,  # without it, scores are not written to disk
        async_options=ocp.AsyncOptions(post_finalization_callback=self._add_checksums),
      ),
    )

  def latest(self) -> int | None:
    """Step of the latest complete checkpoint; None if there is none."""
    return self._manager.latest_step()

  def best(self) -> int | None:
    """Step of the complete checkpoint with the highest score; None if none has one."""
    self._wait()
    step = self._manager.best_step()
    if step is None or _score(self._manager.metrics(step)) == -math.inf:
      return None
    return step

  def steps(self) -> list[int]:
    """Steps of all complete checkpoints, the latest first."""
    return sorted(self._manager.all_steps(), reverse=True)

  def restore(self, like: TrainState, step: int) -> TrainState:
    """The state of a step, which must have the tree, shapes and devices of `like`.

    Raises:
      DamagedError: it cannot be read.
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
    """Raises a DamagedError if a file has changed.

    orbax would notice most of it, but from threads that print tracebacks.
    """
    try:
      expected = json.loads((folder / _CHECKSUMS).read_bytes())
    except FileNotFoundError:  # of a run that an earlier version began
      return
    except ValueError as error:
      raise _damaged(folder, f"{_CHECKSUMS}: {error}") from error
    if files.checksums(folder / _STATE) != expected:
      raise _damaged(folder, "files are missing or have changed")

  def _add_checksums(self) -> None:
    """Adds checksums to a checkpoint before orbax gives it its final name."""
    if not processes.is_first():
      return
    for folder in self._directory.glob(f"{self._saving}.*"):
      content = json.dumps(files.checksums(folder / _STATE))
      files.write_bytes(folder / _CHECKSUMS, content.encode())

  def set_aside(self, steps: Iterable[int]) -> None:
    """Renames checkpoints that cannot be read, so that their steps can be saved."""
    self._set_aside(steps)
    self._manager.reload()

  def require_none_set_aside(self) -> None:
    """Raises a DamagedError if checkpoints were set aside."""
    if found := sorted(path.name for path in self._directory.glob(f"{_DAMAGED}*")):
      raise DamagedError(
        f"{self._directory} holds no checkpoint that can be read: {', '.join(found)}. "
        "Delete the run's folder to train from the beginning."
      )

  def _without_scores(self) -> list[int]:
    """Steps whose file of scores is damaged, with which orbax cannot begin."""
    found = []
    for path in self._directory.glob(f"[0-9]*/{_SCORES}"):
      try:
        json.loads(path.read_bytes())
      except ValueError:
        found.append(int(path.parents[1].name))
        LOG.warning("warning: %s is damaged; its checkpoint is left out.", path)
    return found

  def _set_aside(self, steps: Iterable[int]) -> None:
    if processes.is_first():
      for step in steps:
        aside = self._directory / f"{_DAMAGED}{step}"
        shutil.rmtree(aside, ignore_errors=True)  # of an earlier time
        (self._directory / str(step)).rename(aside)
    processes.barrier("damaged checkpoints")

  def unlogged(self, step: int) -> list[dict[str, float]]:
    """What `save` was given with the state of a step."""
    return (self._manager.metrics(step) or {}).get(_UNLOGGED, [])

  def save(
    self,
    step: int,
    state: Any,
    *,
    score: float | None = None,
    unlogged: Sequence[Mapping[str, float]] = (),
  ) -> None:
    """Starts to write the state, unless this step is saved already.

    Args:
      step: names the checkpoint.
      state: tree of arrays, which are copied before this returns.
      score: by validation; the checkpoint with the highest score is kept.
      unlogged: metrics of the steps since the last line of the log, which a resumed
        run needs for its next line.

    Raises:
      OSError: the disk is too full for it.
    """
    if step == self.latest():
      return
    self._wait()
    self._delete_rest()
    size = sum(leaf.nbytes for leaf in jax.tree.leaves(state))
    files.require_space(self._directory, size + _METADATA_BYTES)
    self._saving = step
    self._manager.save(
      step,
      args=ocp.args.Composite(state=ocp.args.StandardSave(state)),
      metrics=({} if score is None else {SCORE: score})
      | {_UNLOGGED: [dict(values) for values in unlogged]},
    )

  def _wait(self) -> None:
    """Waits until what was saved is on disk; OSError if the disk is full."""
    try:
      self._manager.wait_until_finished()
    except ValueError as error:  # of orbax's storage
      if "RESOURCE_EXHAUSTED" not in str(error):
        raise
      raise files.disk_full(self._directory) from error

  def close(self) -> None:
    """Waits until everything is on disk."""
    self._wait()
    self._manager.close()
    self._delete_rest()

  def _delete_rest(self) -> None:
    """Deletes the checkpoints that are not kept, after orbax has renamed them."""
    if processes.is_first():
      shutil.rmtree(self._directory / _DELETED, ignore_errors=True)


def _damaged(folder: pathlib.Path, reason: str) -> DamagedError:
  return DamagedError(f"the checkpoint {folder} cannot be read ({reason})")


def _score(metrics: Mapping[str, Any] | None) -> float:
  """The score; checkpoints without one are worse than all others."""
  return (metrics or {}).get(SCORE, -math.inf)
