"""The one training loop."""

import dataclasses
import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import optax
from jax.sharding import Mesh

from vosjax.train.checkpointing import Checkpoints
from vosjax.train.interrupt import Interrupt, Interrupted
from vosjax.train.state import TrainState
from vosjax.train.step import Metrics, TrainStep, replicate, shard

LOG = logging.getLogger("vosjax")

Batch = Mapping[str, Any]  # frames, labels, names


@dataclasses.dataclass(frozen=True)
class Stage:
  """A part of a run with data and an optimizer of its own.

  Attributes:
    name: in the configuration.
    start: steps that earlier stages make.
    stop: global step after its last update.
    batches: the rest of its batches, given how many steps of it are done.
    from_best: begin with what the best checkpoint so far had learnt, if one was scored.
  """

  name: str
  start: int
  stop: int
  mesh: Mesh
  tx: optax.GradientTransformation
  train_step: TrainStep
  batches: Callable[[int], Iterator[Batch]]
  from_best: bool = False

  def enter(self, state: TrainState, step: int, checkpoints: Checkpoints) -> TrainState:
    """The state on this stage's devices, with a fresh optimizer at its beginning."""
    if step == self.start and self.from_best:
      state = _learnt_by_best(state, checkpoints)
    state = replicate(state, self.mesh)
    if step == self.start:
      state = state.replace(opt_state=jax.jit(self.tx.init)(state.params))
    return replicate(state, self.mesh)


@dataclasses.dataclass(frozen=True)
class Every:
  """Something done with the state after every so many steps and after the last one."""

  steps: int
  act: Callable[[int, TrainState], None]


class NonFiniteError(ValueError):
  """A loss or gradient is not a number."""


def fit(
  state: TrainState,
  stages: Sequence[Stage],
  *,
  checkpoints: Checkpoints,
  interrupt: Interrupt,
  observers: Sequence[Callable[[int, Mapping[str, float]], None]] = (),
  actions: Sequence[Every] = (),
) -> TrainState:
  """Trains from `state.step` to the end of the last stage.

  Metrics are read one step late, so that the device never waits for the host.

  Args:
    state: fresh, or as a checkpoint holds it.
    stages: in order.
    checkpoints: where the state goes when a signal comes.
    interrupt: asked between steps.
    observers: called with every step's metrics.
    actions: called with the state, after the observers have seen its step.

  Raises:
    Interrupted: a signal came; the state is saved.
    NonFiniteError: with the step and the names of its clips.
  """
  step, last = int(state.step), stages[-1].stop
  reports = _Reports(observers, checkpoints)
  for stage in stages:
    if step >= stage.stop:
      continue
    state = stage.enter(state, step, checkpoints)
    for batch in stage.batches(step - stage.start):
      state, metrics = stage.train_step(state, shard(batch, stage.mesh))
      step += 1
      reports.push(step, metrics, batch["names"])
      due = [a for a in actions if step % a.steps == 0 or step == last]
      signum = interrupt.heard(step)
      if due or signum is not None:
        reports.flush()
      for action in due:
        action.act(step, state)
      if signum is not None:
        checkpoints.save(step, state)
        raise Interrupted(signum, step)
  reports.flush()
  return state


def _learnt_by_best(state, checkpoints):
  """The state with parameters and batch statistics of the best checkpoint."""
  best = checkpoints.best()
  if best is None:
    return state
  LOG.info("goes on from step %d, the best so far by validation", best)
  then = checkpoints.restore(state, best)
  return state.replace(params=then.params, batch_stats=then.batch_stats)


class _Reports:
  """Hands metrics to the observers once the step after theirs is under way."""

  def __init__(self, observers, checkpoints):
    self._observers = observers
    self._checkpoints = checkpoints
    self._pending: tuple[int, Metrics, Sequence[str]] | None = None

  def push(self, step, metrics, names):
    self.flush()
    self._pending = step, metrics, names

  def flush(self):
    if self._pending is None:
      return
    step, metrics, names = self._pending
    self._pending = None
    values = {name: float(v) for name, v in jax.device_get(dict(metrics)).items()}
    wrong = {name: value for name, value in values.items() if not math.isfinite(value)}
    if wrong:
      raise NonFiniteError(_non_finite(step, wrong, names, self._checkpoints.latest()))
    for observe in self._observers:
      observe(step, values)


def _non_finite(step, wrong, names, kept):
  shown = ", ".join(f"{name} is {value}" for name, value in wrong.items())
  kept = (
    "no checkpoint was written yet"
    if kept is None
    else (f"the checkpoint of step {kept} is kept")
  )
  return (
    f"step {step}: {shown}, on the clips {', '.join(names)}; {kept}. Look at these "
    "clips, or lower the stage's learning_rate, in a new workdir."
  )
