"""Stages, resuming, signals and non-finite losses, on the toy run."""

import dataclasses
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest

from vosjax.train.checkpointing import Checkpoints
from vosjax.train.interrupt import STEPS_TO_AGREE, Interrupted
from vosjax.train.loop import NonFiniteError, restore
from vosjax.train.state import TrainState
from vosjax.train.step import make_mesh, make_train_step
from vosjax.train.writers import read_metrics

SCRIPT = pathlib.Path(__file__).with_name("toy.py")


@pytest.fixture(scope="module")
def uninterrupted(toy, tmp_path_factory):
  folder = tmp_path_factory.mktemp("uninterrupted")
  return toy.flat(toy.run(folder)), read_metrics(folder)


def start(folder):
  environment = os.environ | {"PYTHONPATH": str(SCRIPT.parents[2])}
  return subprocess.Popen(
    [sys.executable, str(SCRIPT), str(folder)],
    env=environment,
    stderr=subprocess.PIPE,
  )


def wait_for_step(folder, process, step):
  """Returns once the run has logged `step` or has ended."""
  while process.poll() is None:
    if any(line["step"] >= step for line in read_metrics(folder)):
      return
    time.sleep(0.002)


def same(left, right):
  assert left.keys() == right.keys()
  for name, value in left.items():
    np.testing.assert_array_equal(value, right[name], err_msg=name)


def run_to_the_end_killing_at(folder, steps, signum):
  codes = []
  for step in steps:
    process = start(folder)
    wait_for_step(folder, process, step)
    process.send_signal(signum)
    process.communicate()
    codes.append(process.returncode)
  process = start(folder)
  _, errors = process.communicate()
  assert process.returncode == 0, errors.decode()
  return codes


def test_a_killed_run_ends_with_the_same_bits(tmp_path, uninterrupted):
  codes = run_to_the_end_killing_at(tmp_path, [23], signal.SIGKILL)
  assert codes == [-signal.SIGKILL]
  same(dict(np.load(tmp_path / "final.npz")), uninterrupted[0])
  assert read_metrics(tmp_path) == uninterrupted[1]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_a_run_killed_many_times_ends_with_the_same_bits(tmp_path, uninterrupted, seed):
  steps = sorted(random.Random(seed).sample(range(1, 59), 4))
  run_to_the_end_killing_at(tmp_path, steps, signal.SIGKILL)
  same(dict(np.load(tmp_path / "final.npz")), uninterrupted[0])
  assert read_metrics(tmp_path) == uninterrupted[1]


def test_sigterm_saves_the_current_step_and_the_run_resumes(
  tmp_path, toy, uninterrupted
):
  with pytest.raises(Interrupted) as stop:
    toy.run(tmp_path, observers=[toy.signal_after(33)])
  assert stop.value.signum == signal.SIGTERM
  checkpoints = Checkpoints(tmp_path / "checkpoints", keep=2)
  assert checkpoints.latest() == stop.value.step == 34
  checkpoints.close()
  same(toy.flat(toy.run(tmp_path)), uninterrupted[0])
  assert read_metrics(tmp_path) == uninterrupted[1]


def test_a_signal_while_a_batch_is_made_stops_the_run_soon(
  tmp_path, toy, uninterrupted
):
  def with_signal(step):  # in the thread that makes batches
    if step == 33:
      os.kill(os.getpid(), signal.SIGTERM)
    return toy.batch(step)

  with pytest.raises(Interrupted) as stop:
    toy.run(tmp_path, make_batch=with_signal)
  assert 30 <= stop.value.step <= 34
  same(toy.flat(toy.run(tmp_path)), uninterrupted[0])
  assert read_metrics(tmp_path) == uninterrupted[1]


def test_means_of_several_steps_are_logged_as_if_nothing_had_stopped_the_run(
  tmp_path, toy
):
  toy.run(tmp_path / "whole", log_every=7)
  with pytest.raises(Interrupted, match="after step 34"):
    toy.run(tmp_path / "stopped", observers=[toy.signal_after(33)], log_every=7)
  toy.run(tmp_path / "stopped", log_every=7)
  whole = read_metrics(tmp_path / "whole")
  assert [line["step"] for line in whole if "loss" in line][:5] == [7, 14, 21, 28, 35]
  assert read_metrics(tmp_path / "stopped") == whole


def test_a_run_goes_on_with_any_number_of_processes_and_devices(
  tmp_path, toy, uninterrupted, start_together, end_together
):
  """One device, then two processes of two devices, one of which is told to stop."""
  one = jax.devices()[:1]
  with pytest.raises(Interrupted, match="after step 14"):
    toy.run(tmp_path, observers=[toy.signal_after(13)], devices=one)
  both = start_together([str(SCRIPT), str(tmp_path)], 2, 2)
  wait_for_step(tmp_path, both[0], 16)
  both[1].send_signal(signal.SIGTERM)
  codes, _, errors = end_together(both)
  assert codes == [128 + signal.SIGTERM] * 2, errors
  stopped = read_metrics(tmp_path)[-1]["step"]
  assert 0 in (stopped % STEPS_TO_AGREE, stopped % toy.SCHEDULE.validate)
  checkpoints = Checkpoints(tmp_path / "checkpoints", keep=2)
  assert checkpoints.latest() == stopped < 60
  checkpoints.close()
  final = toy.flat(toy.run(tmp_path, devices=one))
  for name, value in uninterrupted[0].items():
    np.testing.assert_allclose(final[name], value, rtol=1e-5, err_msg=name)
  lines = read_metrics(tmp_path)
  assert [line["step"] for line in lines] == [line["step"] for line in uninterrupted[1]]
  for ours, theirs in zip(lines, uninterrupted[1]):
    assert ours == pytest.approx(theirs, rel=1e-4)


def test_a_run_whose_time_is_up_scores_and_saves_what_it_has_and_can_go_on(
  tmp_path, toy, uninterrupted
):
  scored = []

  def validate(step, state):
    scored.append(step)
    return -float(step)

  state = toy.run(tmp_path, time_limit=1e-9, validate=validate)
  assert int(state.step) == 1
  assert scored == [1]
  checkpoints = Checkpoints(tmp_path / "checkpoints", keep=2)
  assert checkpoints.latest() == checkpoints.best() == 1
  checkpoints.close()
  same(toy.flat(toy.run(tmp_path)), uninterrupted[0])
  lines = read_metrics(tmp_path)
  assert lines.pop(1) == {"step": 1, "validation": -1.0}
  assert lines == uninterrupted[1]


def test_a_run_that_ends_in_time_is_not_cut(tmp_path, toy, uninterrupted):
  same(toy.flat(toy.run(tmp_path, time_limit=60.0)), uninterrupted[0])


def test_a_signal_in_the_last_step_stops_there_and_nothing_is_repeated(
  tmp_path, toy, uninterrupted
):
  with pytest.raises(Interrupted, match="stopped after step 60") as stop:
    toy.run(tmp_path, observers=[toy.signal_after(59, signal.SIGINT)])
  assert stop.value.signum == signal.SIGINT
  same(toy.flat(toy.run(tmp_path, make_batch=None)), uninterrupted[0])
  assert read_metrics(tmp_path) == uninterrupted[1]


@pytest.mark.parametrize(("time_limit", "last"), [(0.0, 60), (1e-9, 1)])
def test_a_signal_in_the_last_validation_stops_the_run(
  time_limit, last, tmp_path, toy, uninterrupted
):
  """Scoring, which follows, takes minutes or hours."""

  def validate(step, state):
    if step == last:
      os.kill(os.getpid(), signal.SIGTERM)
    return -float(step)

  with pytest.raises(Interrupted, match=f"stopped after step {last},"):
    toy.run(tmp_path, validate=validate, time_limit=time_limit)
  same(toy.flat(toy.run(tmp_path)), uninterrupted[0])
  lines = read_metrics(tmp_path)
  if last == 1:  # which only the time limit had validated
    assert lines.pop(1) == {"step": 1, "validation": -1.0}
  assert lines == uninterrupted[1]


@pytest.mark.parametrize("step", [32, 60])
@pytest.mark.parametrize("end", ["signal", "kill"])
def test_a_run_that_stops_in_a_validation_has_saved_its_step_and_repeats_it(
  step, end, tmp_path, toy, uninterrupted
):
  validated = []

  def validate(now, state):
    assert (tmp_path / "checkpoints" / str(now)).is_dir()
    validated.append(now)
    if validated == [*range(4, step + 1, 4)]:
      if end == "kill":
        raise MemoryError
      os.kill(os.getpid(), signal.SIGTERM)
      return None
    return -float(now)

  with pytest.raises((Interrupted, MemoryError)):
    toy.run(tmp_path, validate=validate)
  checkpoints = Checkpoints(tmp_path / "checkpoints", keep=2)
  assert checkpoints.latest() == step and checkpoints.score(step) is None
  checkpoints.close()
  same(toy.flat(toy.run(tmp_path, validate=validate)), uninterrupted[0])
  assert validated == [*range(4, step + 1, 4), *range(step, 61, 4)]
  assert read_metrics(tmp_path) == uninterrupted[1]
  checkpoints = Checkpoints(tmp_path / "checkpoints", keep=2)
  assert checkpoints.score(60) == -60.0 and checkpoints.best() == 4
  checkpoints.close()


def test_processes_stop_in_a_validation_in_which_one_of_them_is_told_to(
  tmp_path, toy, start_together, end_together
):
  """In that of step 8; before, they have shared that of step 4."""
  processes = start_together([str(SCRIPT), str(tmp_path), "--stop_in=8"], 2, 1)
  codes, _, errors = end_together(processes)
  assert codes == [128 + signal.SIGTERM] * 2, errors
  checkpoints = Checkpoints(tmp_path / "checkpoints", keep=2)
  assert checkpoints.latest() == 8
  assert (checkpoints.score(4), checkpoints.score(8)) == (1.0, None)
  checkpoints.close()
  toy.run(tmp_path, devices=jax.devices()[:1])
  lines = [line for line in read_metrics(tmp_path) if "validation" in line]
  assert [line["step"] for line in lines] == [*range(4, 61, 4)]


def test_each_stage_starts_with_a_fresh_optimizer(toy, tmp_path, monkeypatch):
  monkeypatch.setattr(toy, "STEPS", (3, 2))
  state = toy.run(tmp_path)
  counts = {int(x) for x in _leaves(state.opt_state) if x.dtype == np.int32}
  assert counts == {2}
  assert int(state.step) == 5


@pytest.mark.parametrize("from_best", [False, True])
@pytest.mark.parametrize("stopped", [False, True])
def test_a_stage_may_start_from_the_best_weights_so_far(
  stopped, from_best, toy, tmp_path, monkeypatch
):
  """The toy's scores decrease, so that its first checkpoint, of step 4, is the best."""

  def idle(state, batch):
    return state.replace(step=state.step + 1), {"loss": jnp.zeros(())}

  _change_second(toy, monkeypatch, train_step=idle, from_best=from_best)
  if stopped:
    with pytest.raises(Interrupted, match="after step 10"):
      toy.run(tmp_path, observers=[toy.signal_after(9)])
  state = toy.run(tmp_path)
  checkpoints = Checkpoints(tmp_path / "checkpoints", keep=2)
  assert checkpoints.best() == 4
  then = checkpoints.restore(state, 4)
  checkpoints.close()
  assert int(state.step) == 12
  for found, expected in zip(_trained(state), _trained(then), strict=True):
    assert (found == expected).all() == from_best


def test_a_stage_that_started_from_the_best_weights_resumes_where_it_stopped(
  toy, tmp_path, monkeypatch
):
  _change_second(toy, monkeypatch, from_best=True)
  expected = toy.run(tmp_path / "whole")
  with pytest.raises(Interrupted, match="after step 11"):
    toy.run(tmp_path / "stopped", observers=[toy.signal_after(10)])
  found = toy.run(tmp_path / "stopped")
  for ours, theirs in zip(_trained(found), _trained(expected), strict=True):
    np.testing.assert_array_equal(ours, theirs)


def test_stages_may_have_optimizers_of_different_structure(toy, tmp_path, monkeypatch):
  tx = optax.chain(optax.clip_by_global_norm(0.1), optax.sgd(1e-2, momentum=0.9))
  train_step = make_train_step(toy.objective, tx, make_mesh(toy.BATCH))
  _change_second(toy, monkeypatch, tx=tx, train_step=train_step, from_best=True)
  expected = toy.run(tmp_path / "whole")
  with pytest.raises(Interrupted, match="after step 11"):
    toy.run(tmp_path / "stopped", observers=[toy.signal_after(10)])
  found = toy.run(tmp_path / "stopped")
  for ours, theirs in zip(_leaves(found), _leaves(expected), strict=True):
    np.testing.assert_array_equal(ours, theirs)
  checkpoints = Checkpoints(tmp_path / "whole/checkpoints", keep=2)
  best = restore(checkpoints, toy.make_stages(), found, checkpoints.best())
  checkpoints.close()
  assert int(best.step) == 4  # of the first stage


def _change_second(toy, monkeypatch, **changes):
  """Stages of 10 and 2 steps, the second with some of its fields changed."""

  def make_stages(*args):
    first, second = whole(*args)
    return [first, dataclasses.replace(second, **changes)]

  whole = toy.make_stages
  monkeypatch.setattr(toy, "STEPS", (10, 2))
  monkeypatch.setattr(toy, "make_stages", make_stages)


def _trained(state):
  """Parameters that are trained, and the batch statistics."""
  return _leaves((state.params["trained"], state.batch_stats))


def test_a_non_finite_loss_stops_with_step_clips_and_checkpoint(
  toy, tmp_path, monkeypatch
):
  def diverging(variables, batch, key):
    """Not a number on the tenth batch, whose labels alone reach 3."""
    loss, outputs = objective(variables, batch, key)
    loss = jnp.where(batch.labels.max() > 2, jnp.nan, 1.0) * loss
    return loss, outputs._replace(metrics={"loss": loss})

  def marked(step):
    batch = toy.batch(step)
    return batch | {"labels": batch["labels"] + 2 * (step == 9)}

  objective = toy.objective
  monkeypatch.setattr(toy, "objective", diverging)
  with pytest.raises(NonFiniteError) as error:
    toy.run(tmp_path, make_batch=marked)
  message = str(error.value)
  assert "step 10" in message
  assert "clip9" in message
  assert "step 8 is kept" in message
  checkpoints = Checkpoints(tmp_path / "checkpoints", keep=2)
  assert checkpoints.latest() == 8
  checkpoints.close()


def test_the_best_checkpoint_is_kept_besides_the_latest(toy, tmp_path):
  toy.run(tmp_path)  # scores fall, so the first is the best
  kept = sorted(int(p.name) for p in (tmp_path / "checkpoints").iterdir())
  assert kept == [4, 56, 60]


def test_every_state_that_is_validated_is_saved_with_its_score(
  toy, tmp_path, monkeypatch
):
  """Validated at steps 3, 6, 9 and 10, saved at 4, 8 and 10 in any case."""
  monkeypatch.setattr(toy, "STEPS", (6, 4))
  done = []

  def validate(step, state):
    assert int(state.step) == step
    assert read_metrics(tmp_path)[-1]["step"] == step  # the step is logged first
    done.append(f"validate {step}")
    return {3: 0.5, 6: 0.7, 9: 0.6, 10: 0.5}[step]

  toy.run(
    tmp_path,
    schedule=toy.Schedule(validate=3, save=4, draw=5),
    validate=validate,
    draw_curves=lambda: done.append("draw"),
  )
  expected = ["validate 3", "draw", "validate 6", "validate 9", "validate 10", "draw"]
  assert done == expected
  checkpoints = Checkpoints(tmp_path / "checkpoints", keep=2)
  assert checkpoints.best() == 6
  checkpoints.close()
  kept = sorted(int(path.name) for path in (tmp_path / "checkpoints").iterdir())
  assert kept == [6, 9, 10]


def test_the_best_checkpoint_is_known_to_the_next_start(toy, tmp_path):
  state = TrainState.create(toy.variables(), optax.sgd(1e-2), seed=0)
  first = Checkpoints(tmp_path / "checkpoints", keep=1)
  assert first.best() is None
  for step, score in {1: 0.2, 2: 0.7, 3: None}.items():
    first.save(step, state.replace(step=jnp.int32(step)))
    if score is not None:
      first.add_score(step, score)
  assert first.best() == 2
  first.close()
  later = Checkpoints(tmp_path / "checkpoints", keep=1)
  later.save(4, state.replace(step=jnp.int32(4)))
  later.add_score(4, 0.5)
  assert later.best() == 2
  assert int(later.restore(state, 2).step) == 2
  assert int(later.restore(state, 4).step) == 4
  later.close()
  kept = sorted(int(path.name) for path in (tmp_path / "checkpoints").iterdir())
  assert kept == [2, 4]


def test_a_checkpoint_that_does_not_fit_on_the_disk_is_not_begun(
  toy, tmp_path, monkeypatch
):
  state = TrainState.create(toy.variables(), optax.sgd(1e-2), seed=0)
  checkpoints = Checkpoints(tmp_path / "checkpoints", keep=1)
  usage = shutil.disk_usage(tmp_path)._replace(free=1000)
  monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
  with pytest.raises(OSError, match="No space left on device") as error:
    checkpoints.save(1, state)
  assert error.value.filename == str(tmp_path / "checkpoints")
  checkpoints.close()
  assert not list((tmp_path / "checkpoints").iterdir())


def test_a_disk_that_fills_up_while_a_checkpoint_is_written_is_named(
  toy, tmp_path, monkeypatch
):
  """Orbax, which writes in the background, says it in its own way."""
  state = TrainState.create(toy.variables(), optax.sgd(1e-2), seed=0)
  checkpoints = Checkpoints(tmp_path / "checkpoints", keep=1)
  checkpoints.save(1, state)
  wait = ocp.CheckpointManager.wait_until_finished
  messages = ["RESOURCE_EXHAUSTED: Failed writing: 'd'", "something else"]

  def fail(manager):
    wait(manager)
    if messages:
      raise ValueError(messages.pop(0))

  monkeypatch.setattr(ocp.CheckpointManager, "wait_until_finished", fail)
  with pytest.raises(OSError, match="No space left on device") as error:
    checkpoints.save(2, state.replace(step=jnp.int32(2)))
  assert error.value.filename == str(tmp_path / "checkpoints")
  with pytest.raises(ValueError, match="something else"):
    checkpoints.save(2, state.replace(step=jnp.int32(2)))
  checkpoints.close()


def _leaves(tree):
  return [np.asarray(leaf) for leaf in jax.tree.leaves(tree)]
