"""Runs `fit` on a toy model, in separate processes that can be killed.

Usage: python toy.py WORKDIR [--stop_in STEP], and --coordinator, --num_processes and
--process_id as of `vosjax train`; the first process writes final.npz there.
"""

import argparse
import contextlib
import os
import pathlib
import signal
import sys
import time

import flax.linen as nn
import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np

from vosjax.data.synthvos import SynthVos
from vosjax.evaluation import protocols
from vosjax.train import processes
from vosjax.train.checkpointing import Checkpoints
from vosjax.train.configs.agame import get_config
from vosjax.train.interrupt import Interrupt, Interrupted, TimeLimit
from vosjax.train.loop import Schedule, Stage, fit, resume
from vosjax.train.observers import Logger
from vosjax.train.optimizers import adam
from vosjax.train.recipe import Outputs, Scoring
from vosjax.train.scoring.datasets import ScoredSet
from vosjax.train.scoring.score import Validation
from vosjax.train.state import TrainState
from vosjax.train.step import make_mesh, make_train_step, replicate
from vosjax.train.writers import VALIDATION, MetricsWriter

BATCH = 8
STEPS = (30, 30)


def variables():
  return {
    "params": {"trained": {"w": jnp.ones((4, 3)) / 3}, "frozen": {"w": jnp.ones(3)}},
    "batch_stats": {"mean": jnp.zeros(3)},
  }


def objective(variables, batch, key):
  """A loss that depends on everything in a state."""
  params = variables["params"]
  x = batch.frames.astype(jnp.float32).mean((1, 2, 3)) / 255
  noise = 0.1 * jax.random.normal(key, x.shape)
  y = jnp.tanh((x + noise) * params["frozen"]["w"][None]) @ params["trained"]["w"].T
  loss = jnp.square(y - batch.labels.mean((1, 2, 3), dtype=jnp.float32)[:, None]).mean()
  mean = 0.9 * variables["batch_stats"]["mean"] + 0.1 * x.mean(0)
  return loss, Outputs({"loss": loss, "iou": -loss}, {"mean": mean})


def batch(step):
  rng = np.random.default_rng(step)
  return {
    "frames": rng.integers(0, 256, (BATCH, 2, 4, 4, 3), np.uint8),
    "labels": rng.integers(0, 2, (BATCH, 2, 4, 4), np.uint8),
    "names": [f"clip{step}"] * BATCH,
  }


def part(batch):
  """This process's part of a batch."""
  size = BATCH // jax.process_count()
  begin = size * jax.process_index()
  return {name: value[begin : begin + size] for name, value in batch.items()}


def make_stages(make_batch=batch, pause=0.0, devices=None):
  mesh, start, stages = make_mesh(BATCH, devices), 0, []
  for i, steps in enumerate(STEPS):
    tx = adam.make_optimizer(
      learning_rate=1e-2 / (i + 1),
      lr_decay=0.5,
      steps_per_epoch=7,
      weight_decay=1e-2,
      frozen=("frozen",),
    )

    def batches(done, start=start, steps=steps):
      for step in range(start + done, start + steps):
        time.sleep(pause)
        yield part(make_batch(step))

    step_fn = make_train_step(objective, tx, mesh)
    stages.append(Stage(f"s{i}", start, start + steps, mesh, tx, step_fn, batches))
    start += steps
  return stages


SCHEDULE = Schedule(validate=4, save=4, draw=100)


def falling_score(step, state):
  """Scores of which the first is the best."""
  del state
  return -float(step)


def logged(validate, writer):
  """The validation, which then logs its score."""

  def score(step, state):
    found = validate(step, state)
    if found is not None:
      writer.write(step, {VALIDATION: found})
    return found

  return score


class Network(nn.Module):
  """Is never called."""


def shared_validation(workdir, stop_in):
  """What processes share; in the validation of a step, the second is told to stop."""

  def validate(step, state):
    told = step == stop_in and jax.process_index() == 1
    if told:
      os.kill(os.getpid(), signal.SIGTERM)
    return Validation(*parts, None, workdir, is_stopped=lambda: told)(step, state)

  def segment(video):
    return (video.labels(t) for t in range(len(video)))

  config = get_config("smoke")
  config.validation.num_videos = 4
  source = SynthVos(0, 4, size=(32, 48), length=3, max_objects=1, void=0.0)
  scored_set = ScoredSet(source, protocols.build("davis2017"))
  scoring = Scoring("objects", lambda model, variables: segment)
  parts = config, scoring, Network(), scored_set
  return validate


def run(
  workdir,
  *,
  pause=0.0,
  make_batch=batch,
  schedule=SCHEDULE,
  time_limit=0.0,
  devices=None,
  log_every=1,
  observers=(),
  **hooks,
):
  stages = make_stages(make_batch, pause, devices)
  state = TrainState.create(variables(), stages[0].tx, seed=1)
  state = replicate(state, stages[0].mesh)
  with contextlib.ExitStack() as stack:
    checkpoints = Checkpoints(workdir / "checkpoints", keep=2)
    stack.callback(checkpoints.close)
    state = resume(checkpoints, stages, state)
    if processes.is_first():
      done = int(state.step)
      validated = checkpoints.score(done) is not None
      writer = MetricsWriter(workdir, resumed_from=done, validated=validated)
      stack.callback(writer.close)
      pending = checkpoints.unlogged(done) if done else []
      logger = Logger(writer, log_every, sum(STEPS), pending)
      hooks = {
        "observers": [logger, *observers],
        "unlogged": lambda: logger.pending,
        **hooks,
        "validate": logged(hooks.get("validate", falling_score), writer),
      }
    interrupt = stack.enter_context(Interrupt())
    return fit(
      state,
      stages,
      schedule,
      checkpoints=checkpoints,
      interrupt=interrupt,
      time_limit=TimeLimit(time_limit),
      **hooks,
    )


def signal_after(last, signum=signal.SIGTERM):
  """An observer that sends a signal while the step after `last` runs."""

  def observe(step, values):
    del values
    if step == last:
      os.kill(os.getpid(), signum)

  return observe


def flat(state):
  tree = {**state.variables, "step": state.step}
  leaves = flax.traverse_util.flatten_dict(tree, sep="/")
  return {name: np.asarray(value) for name, value in leaves.items()}


def main():
  parser = argparse.ArgumentParser()
  parser.add_argument("folder", type=pathlib.Path)
  parser.add_argument("--coordinator")
  parser.add_argument("--num_processes", type=int)
  parser.add_argument("--process_id", type=int)
  parser.add_argument("--stop_in", type=int, help="see `shared_validation`")
  args = parser.parse_args()
  if args.coordinator is not None:
    processes.connect(args.coordinator, args.num_processes, args.process_id)
  hooks = {}
  if args.stop_in is not None:
    hooks["validate"] = shared_validation(args.folder, args.stop_in)
  try:
    final = flat(run(args.folder, pause=0.02, **hooks))
  except Interrupted as stop:
    sys.exit(128 + stop.signum)
  if processes.is_first():
    np.savez(args.folder / "final.npz", **final)


if __name__ == "__main__":
  main()
