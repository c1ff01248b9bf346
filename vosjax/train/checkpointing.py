"""Checkpoints of a run: written in the background, whole or not at all."""

import math
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers as policies

from vosjax.train.state import TrainState

SCORE = "score"


class Checkpoints:
  """The last `keep` states of a run, and the best one.

  A state is first written to a temporary folder and then renamed, so that a kill at any
  moment leaves only whole checkpoints.

  Args:
    directory: made when missing.
    keep: how many of the latest stay.
  """

  def __init__(self, directory: pathlib.Path, *, keep: int):
    self._manager = ocp.CheckpointManager(
      directory.resolve(),
      options=ocp.CheckpointManagerOptions(
        cleanup_tmp_directories=True,
        preservation_policy=policies.AnyPreservationPolicy(
          [
            policies.LatestN(keep),
            policies.BestN(get_metric_fn=_score, n=1),
          ]
        ),
        best_fn=_score,  # without it, scores are not written to the disk
      ),
    )

  def latest(self) -> int | None:
    """Step of the newest whole checkpoint."""
    return self._manager.latest_step()

  def best(self) -> int | None:
    """Step of the whole checkpoint with the highest score; None if none has one."""
    self._manager.wait_until_finished()
    step = self._manager.best_step()
    if step is None or _score(self._manager.metrics(step)) == -math.inf:
      return None
    return step

  def restore(self, like: TrainState, step: int | None = None) -> TrainState:
    """A state in the shapes and on the devices of `like`; by default the newest."""
    abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
    args = ocp.args.Composite(state=ocp.args.StandardRestore(abstract))
    step = self.latest() if step is None else step
    return self._manager.restore(step, args=args)["state"]

  def save(self, step: int, state: Any, *, score: float | None = None) -> None:
    """Writes the state unless this step is there already; returns at once.

    Args:
      step: its name.
      state: a tree of arrays; they are copied before this returns.
      score: the best one's checkpoint is kept.
    """
    if step == self.latest():
      return
    self._manager.save(
      step,
      args=ocp.args.Composite(state=ocp.args.StandardSave(state)),
      metrics={} if score is None else {SCORE: score},
    )

  def close(self) -> None:
    """Waits until everything is on the disk."""
    self._manager.wait_until_finished()
    self._manager.close()


def _score(metrics: Mapping[str, float] | None) -> float:
  """Those that were not scored are worse than all others."""
  return (metrics or {}).get(SCORE, -math.inf)
