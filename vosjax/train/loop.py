"""The one training loop."""

import dataclasses
import logging
import math
from collections.abc import Callable, Mapping, Sequence

import jax
import optax
from jax.sharding import Mesh

from vosjax.train import processes
from vosjax.train.checkpointing import Checkpoints, DamagedError
from vosjax.train.interrupt import Interrupt, Interrupted, TimeLimit
from vosjax.train.prefetch import on_devices
from vosjax.train.recipe import BatchesFrom
from vosjax.train.state import TrainState
from vosjax.train.step import Metrics, TrainStep, replicate

LOG = logging.getLogger("vosjax")

Observer = Callable[[int, Mapping[str, float]], None]


@dataclasses.dataclass(frozen=True)
class Stage:
  """A part of a run with its own data and optimizer.

  Attributes:
    name: in the configuration.
    start: number of steps in earlier stages.
    stop: global step after its last update.
    mesh: devices that share its batches.
    tx: its optimizer.
    train_step: from `make_train_step`.
    batches_from: (step of the stage) -> the batches from there on, see
      `recipe.BatchesFrom`.
    from_best: start from the weights of the best checkpoint so far, if one was scored.
  """

  name: str
  start: int
  stop: int
  mesh: Mesh
  tx: optax.GradientTransformation
  train_step: TrainStep
  batches_from: BatchesFrom
  from_best: bool = False

  def enter(self, state: TrainState, step: int) -> TrainState:
    """Moves the state to the stage's devices.

    At the stage's first step, also resets the optimizer.
    """
    state = replicate(state, self.mesh)
    if step == self.start:
      state = state.replace(opt_state=jax.jit(self.tx.init)(state.params))
    return replicate(state, self.mesh)  # the new optimizer state, too


@dataclasses.dataclass(frozen=True)
class Schedule:
  """How often to validate, save and draw; each also happens after the last step.

  Attributes:
    validate: steps between two validations, each of which saves a checkpoint as well.
    save: steps between two checkpoints.
    draw: steps between two plots of the curves.
  """

  validate: int
  save: int
  draw: int


class NonFiniteError(ValueError):
  """A loss or gradient is infinite or not a number."""


def fit(
  state: TrainState,
  stages: Sequence[Stage],
  schedule: Schedule,
  *,
  checkpoints: Checkpoints,
  interrupt: Interrupt,
  time_limit: TimeLimit,
  observers: Sequence[Observer] = (),
  validate: Callable[[int, TrainState], float | None] | None = None,
  draw_curves: Callable[[], None] | None = None,
  unlogged: Callable[[], Sequence[Mapping[str, float]]] = tuple,
) -> TrainState:
  """Trains from `state.step` to the end of the last stage or of the time.

  Metrics are fetched one step late, so that the device never waits for the host.

  Args:
    state: initial, or restored from a checkpoint.
    stages: in the order in which they run.
    schedule: when to validate, save and draw.
    checkpoints: where states are saved, also when a signal stops the run.
    interrupt: checked between steps.
    time_limit: likewise; the step at which it is reached is the last one.
    observers: called with the step and the metrics of every step.
    validate: scores the state of a step, which is on disk by then; the first process's
      score counts. It returns None if a signal came.
    draw_curves: draws what has been logged so far. Of several processes, only the first
      one has it.
    unlogged: metrics of the steps since the last line of the log, to be saved with the
      state.

  Raises:
    Interrupted: a signal arrived; the state is saved.
    NonFiniteError: names the step and its clips.
  """
  step, last = int(state.step), stages[-1].stop
  timed_out = False

  def is_due(every: int) -> bool:
    return step % every == 0 or step == last or timed_out

  reports = _Reports(observers, checkpoints)

  def finish_step() -> None:
    """Saves, validates and draws what is due after a step, and handles signals."""
    validation_due, score = is_due(schedule.validate), None
    if validation_due or is_due(schedule.save):
      reports.flush()
      checkpoints.save(step, state, unlogged=unlogged())
    if validation_due:
      checkpoints.wait()  # validation takes a long time, and may be killed
      score = processes.from_first(validate(step, state) if validate else None)
    if draw_curves and is_due(schedule.draw):
      reports.flush()
      draw_curves()
    if score is not None:  # last, since a resumed run repeats what has no score
      checkpoints.add_score(step, score)
    signum = interrupt.received(step, at_once=validation_due)
    if signum is not None:
      reports.flush()
      checkpoints.save(step, state, unlogged=unlogged())
      raise Interrupted(signum, step)

  if step and is_due(schedule.validate) and checkpoints.score(step) is None:
    finish_step()  # the run ended before this step's validation did
  for stage in stages:
    if step >= stage.stop:
      continue
    if stage.from_best and step == stage.start:
      state = _with_best_weights(state, stages, checkpoints)
    state = stage.enter(state, step)
    batches_from_here = stage.batches_from(step - stage.start)
    with on_devices(batches_from_here, stage.mesh) as batches:
      for names, batch in batches:
        state, metrics = stage.train_step(state, batch)
        step += 1
        reports.push(step, metrics, names)
        timed_out = time_limit.is_over(step)
        finish_step()
        if timed_out:
          if step < last:
            LOG.info("time is up after step %d of %d", step, last)
          return state
  return state


def resume(
  checkpoints: Checkpoints, stages: Sequence[Stage], initial: TrainState
) -> TrainState:
  """The state of the latest checkpoint that can be read, or the initial one.

  Damaged checkpoints are reported and set aside.

  Args:
    checkpoints: of the run.
    stages: of the run.
    initial: the state before the first step.

  Raises:
    DamagedError: there are checkpoints, and none of them can be read.
    ValueError: they are of an earlier version of vosjax.
  """
  damaged: dict[int, DamagedError] = {}
  for step in checkpoints.steps():
    try:
      state = restore(checkpoints, stages, initial, step)
    except DamagedError as error:
      damaged[step] = error
      continue
    for reason in damaged.values():
      LOG.warning("warning: %s; going on from step %d, which can.", reason, step)
    if damaged:
      checkpoints.set_aside(damaged)
    return state
  if damaged:
    raise DamagedError(
      f"{damaged[max(damaged)]}, and no other one can. Delete the run's folder to "
      "train from the beginning."
    )
  checkpoints.require_none_set_aside()
  return initial


def restore(
  checkpoints: Checkpoints, stages: Sequence[Stage], like: TrainState, step: int
) -> TrainState:
  """Reads the checkpoint of a step.

  Stages may have optimizers of different structure: the checkpoint holds the state of
  the one that made this step.

  Args:
    checkpoints: of the run.
    stages: of the run.
    like: any state of the run.
    step: of the checkpoint.

  Raises:
    DamagedError: it cannot be read.
    ValueError: an earlier version of vosjax wrote it.
  """
  stage = next(stage for stage in stages if step <= stage.stop)
  like = like.replace(opt_state=jax.jit(stage.tx.init)(like.params))
  return checkpoints.restore(replicate(like, stage.mesh), step)


def _with_best_weights(
  state: TrainState, stages: Sequence[Stage], checkpoints: Checkpoints
) -> TrainState:
  """The state with parameters and batch statistics of the best checkpoint."""
  best = checkpoints.best()
  if best is None:
    return state
  LOG.info("continues from step %d, the best so far by validation", best)
  restored = restore(checkpoints, stages, state, best)
  return state.replace(params=restored.params, batch_stats=restored.batch_stats)


class _Reports:
  """Passes metrics to the observers once the next step has been dispatched."""

  def __init__(self, observers: Sequence[Observer], checkpoints: Checkpoints):
    self._observers = observers
    self._checkpoints = checkpoints
    self._pending: tuple[int, Metrics, Sequence[str]] | None = None

  def push(self, step: int, metrics: Metrics, names: Sequence[str]) -> None:
    """Reports the step before, and keeps this one's metrics until the next call."""
    self.flush()
    self._pending = step, metrics, names

  def flush(self) -> None:
    """Reports what is still pending.

    Raises:
      NonFiniteError: a metric is infinite or not a number.
    """
    if self._pending is None:
      return
    step, metrics, names = self._pending
    self._pending = None
    values = {name: float(v) for name, v in jax.device_get(dict(metrics)).items()}
    wrong = {name: value for name, value in values.items() if not math.isfinite(value)}
    if wrong:
      message = _non_finite(step, wrong, names, self._checkpoints.latest())
      raise NonFiniteError(message)
    for observe in self._observers:
      observe(step, values)


def _non_finite(
  step: int, wrong: Mapping[str, float], names: Sequence[str], saved: int | None
) -> str:
  """The message about non-finite values, given the step of the last checkpoint."""
  values = ", ".join(f"{name} is {value}" for name, value in wrong.items())
  checkpoint = (
    "no checkpoint has been written yet"
    if saved is None
    else f"the checkpoint of step {saved} is kept"
  )
  return (
    f"step {step}: {values}, on the clips {', '.join(names)}; {checkpoint}. Look at "
    "these clips, or lower the stage's learning_rate, in a new workdir."
  )
