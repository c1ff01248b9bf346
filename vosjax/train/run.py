"""A whole run: from a configuration to a trained, scored and shown model."""

import logging
import pathlib
import sys
import time
from collections.abc import Mapping, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from clu import parameter_overview
from ml_collections import ConfigDict

from vosjax import checkpoints as model_files
from vosjax import models
from vosjax.data.sources import Source
from vosjax.train import feeds, writers
from vosjax.train.checkpointing import Checkpoints
from vosjax.train.interrupt import Interrupt, Interrupted
from vosjax.train.loop import Every, Stage, fit
from vosjax.train.objectives import OBJECTIVES
from vosjax.train.observers import Logger, Progress
from vosjax.train.optim import make_optimizer
from vosjax.train.scoring import Validation, finish
from vosjax.train.state import TrainState
from vosjax.train.step import make_mesh, make_train_step, replicate
from vosjax.train.workdir import open_workdir
from vosjax.types import Variables

LOG = logging.getLogger("vosjax")

__all__ = ["Interrupted", "run"]


def run(config: ConfigDict, workdir: str | None) -> None:
  """Trains or evaluates, as `config.mode` says.

  Args:
    config: see configs/base.py.
    workdir: None makes a fresh folder below runs/.

  Raises:
    ValueError: configuration, data or folder do not fit; says what to do.
    Interrupted: a signal came; the run can be resumed.
  """
  _speak()
  LOG.info(config.title)
  if config.mode not in ("train", "evaluate"):
    raise ValueError(f"mode is {config.mode!r}; known: ['evaluate', 'train'].")
  if config.mode == "evaluate":
    if workdir is None:
      raise ValueError("mode evaluate needs --workdir=DIR, a folder of a finished run.")
    return evaluate(config, pathlib.Path(workdir))
  return train(config, workdir)


def _speak() -> None:
  """Sends what a run reports to stdout, and none of it through absl a second time."""
  LOG.setLevel(logging.INFO)
  LOG.propagate = False
  LOG.handlers = [logging.StreamHandler(sys.stdout)]


def train(config: ConfigDict, workdir: str | None) -> None:
  """Trains through all stages, resuming where the workdir's run stopped."""
  began = time.monotonic()
  model = build(config)
  stages, sources = make_stages(config, model)
  unseen = feeds.evaluation_source(config)
  path, resumed = open_workdir(config, workdir)
  LOG.info("workdir   %s", path)
  initial = jax.device_get(init(model, config))
  describe(config, model, initial, sources, stages)
  checkpoints = Checkpoints(path / "checkpoints", keep=config.checkpoint.keep)
  done = checkpoints.latest() or 0
  writer = writers.MetricsWriter(path, resumed_from=done)
  try:
    state = replicate(
        TrainState.create(initial, stages[0].tx, config.seed), stages[0].mesh
    )
    if done:
      state = checkpoints.restore(state)
    if resumed:
      LOG.info("resuming  at step %d of %d", done, stages[-1].stop)
    validation = Validation(config, model, unseen, writer, path)
    log = Logger(writer, config.log.every_steps, stages[-1].stop)
    with Interrupt() as interrupt, Progress(config, stages, done) as progress:
      state = fit(
          state,
          stages,
          checkpoints=checkpoints,
          interrupt=interrupt,
          observers=[progress, log],
          actions=_periodic(config, validation, checkpoints, path),
      )
  finally:
    checkpoints.close()
    writer.close()
  variables = jax.device_get(state.variables)
  fields = config.model.fields.to_dict()
  model_files.save(path / "model", config.model.name, fields, variables)
  finish(config, model, variables, unseen, path, untrained=initial)
  LOG.info("done in %.0f s; everything is in %s", time.monotonic() - began, path)
  LOG.info("next      vosjax segment VIDEO --mask FIRST.png --checkpoint %s/model "
           "--out DIR", path)  # fmt: skip


def _periodic(config, validation, checkpoints, path) -> list[Every]:
  """Validation comes before the checkpoint that bears its score."""

  def save(step, state):
    checkpoints.save(step, state, score=validation.score_of(step))

  def draw(step, state):
    del step, state  # curves are made of what was written
    writers.draw_curves(path)

  return [
      Every(config.validation.every_steps, validation),
      Every(config.checkpoint.every_steps, save),
      Every(config.log.curves_every_steps, draw),
  ]


def evaluate(config: ConfigDict, workdir: pathlib.Path) -> None:
  """Scores WORKDIR/model on `config.evaluation` and writes WORKDIR/eval."""
  if not (workdir / "model").is_dir():
    raise ValueError(
        f"--workdir={workdir} holds no model/: train to the end first, with the same "
        "command and without --config.mode=evaluate."
    )
  unseen = feeds.evaluation_source(config)
  model, variables = model_files.load(workdir / "model")
  finish(config, model, variables, unseen, workdir)
  LOG.info("scores are in %s, pictures in %s", workdir / "eval", workdir / "preview")


def build(config: ConfigDict) -> nn.Module:
  """The configured model."""
  return models.build(config.model.name, **config.model.fields.to_dict())


def init(model: nn.Module, config: ConfigDict) -> Variables:
  """Variables before training, the same for the same seed."""
  size = tuple(next(iter(config.stages.values())).size)
  frames, masks = jnp.zeros((1, *size, 3)), jnp.zeros((1, 1, *size))
  variables = jax.jit(model.init)(jax.random.key(config.seed), frames, masks)
  if config.backbone_checkpoint:
    variables = model_files.load_backbone(config.backbone_checkpoint, variables)
  return variables


def make_stages(
    config: ConfigDict, model: nn.Module
) -> tuple[list[Stage], dict[str, dict[str, Source]]]:
  """The configured stages, and each one's sources by name.

  Raises:
    ValueError: data are missing; lists what all stages miss.
  """
  stages, sources, missing, start = [], {}, {}, 0
  for name, options in config.stages.items():
    try:
      sources[name] = feeds.training_sources(config, options)
    except ValueError as error:
      missing.setdefault(str(error), []).append(name)
      continue
    mesh = make_mesh(options.batch_size)
    tx = make_optimizer(
        learning_rate=options.learning_rate,
        lr_decay=options.lr_decay,
        steps_per_epoch=options.steps_per_epoch,
        weight_decay=options.weight_decay,
        frozen=model.frozen,
    )
    objective = OBJECTIVES[config.model.name](
        model,
        options.losses.to_dict(),
        remat=options.remat,
        unroll_steps=options.unroll_steps,
    )
    stages.append(
        Stage(
            name=name,
            start=start,
            stop=start + options.num_steps,
            mesh=mesh,
            tx=tx,
            train_step=make_train_step(objective, tx, mesh),
            batches=feeds.batches(config, options, sources[name]),
        )
    )
    start += options.num_steps
  if missing:
    raise ValueError(
        "; ".join(f"stage {', '.join(s)}: {text}" for text, s in missing.items())
    )
  return stages, sources


def describe(
    config: ConfigDict,
    model: nn.Module,
    variables: Variables,
    sources: Mapping[str, Mapping[str, Source]],
    stages: Sequence[Stage],
) -> None:
  """Logs device, data and the table of parameters."""
  devices = jax.devices()
  LOG.info("devices   %d x %s (%s)", len(devices), devices[0].device_kind,
           devices[0].platform)  # fmt: skip
  for stage in stages:
    options = config.stages[stage.name]
    mixed = ", ".join(f"{n} ({len(s)} videos)" for n, s in sources[stage.name].items())
    LOG.info(
        "stage     %s: %s; %d clips x %d frames, %d x %d, %d steps on %d device(s)",
        stage.name, mixed, options.batch_size, options.clip_length, *options.size,
        options.num_steps, stage.mesh.size,
    )  # fmt: skip
  params = variables["params"]
  LOG.info(parameter_overview.get_parameter_overview(params, include_stats=False))
  frozen = ", ".join(model.frozen) or "nothing"
  LOG.info("model     %s; frozen: %s", config.model.name, frozen)
