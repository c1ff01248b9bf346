"""A whole run: from a configuration to a trained, scored and shown model."""

import contextlib
import logging
import sys
import time
from collections.abc import Callable, Mapping, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from clu import parameter_overview
from ml_collections import ConfigDict

from vosjax import checkpoints as model_files
from vosjax import models
from vosjax.data.video import Source
from vosjax.train import feeds, processes, writers
from vosjax.train.backbone import load_backbone
from vosjax.train.checkpointing import Checkpoints
from vosjax.train.interrupt import Interrupt, Interrupted
from vosjax.train.loop import Every, Stage, fit
from vosjax.train.observers import Logger, Progress
from vosjax.train.recipes import recipe_of
from vosjax.train.scoring import datasets, trained
from vosjax.train.scoring.predict import predict
from vosjax.train.scoring.score import Validation, finish
from vosjax.train.state import TrainState
from vosjax.train.step import make_mesh, make_train_step, replicate
from vosjax.train.workdir import open_workdir, same_videos
from vosjax.types import Variables

LOG = logging.getLogger("vosjax")

__all__ = ["Interrupted", "run"]


def _speak() -> None:
  """Sends what a run reports to stdout, and none of it through absl a second time."""
  LOG.setLevel(logging.INFO if processes.is_first() else logging.WARNING)
  LOG.propagate = False
  LOG.handlers = [logging.StreamHandler(sys.stdout)]


def train(config: ConfigDict, workdir: str | None) -> None:
  """Trains through all stages, resuming where the workdir's run stopped."""
  began = time.monotonic()
  model = build(config)
  stages, sources = make_stages(config, model)
  scoring = recipe_of(config).scoring(config, model)
  unseen = datasets.open_scored(config, scoring.task)
  initial = jax.device_get(init(model, config))
  path, resumed = open_workdir(config, workdir)
  LOG.info("workdir   %s%s", path, ", where a run goes on" if resumed else "")
  if processes.is_first():
    same_videos(path, sources)
  describe(config, model, initial, sources, stages)
  state, best = _fit(config, model, stages, (scoring, unseen), initial, path)
  if not processes.is_first():
    return
  variables = jax.device_get(state.variables)
  fields = config.model.fields.to_dict()
  model_files.save(path / "model", config.model.name, fields, variables)
  if best is not None:
    variables_then = jax.device_get(best.variables)
    model_files.save(path / "model_best", config.model.name, fields, variables_then)
    LOG.info(
      "best      step %d by validation, in %s/model_best; model/ is the last step's",
      best.step,
      path,
    )
  finish(config, scoring, model, variables, unseen, path, untrained=initial)
  LOG.info("done in %.0f s; everything is in %s", time.monotonic() - began, path)
  mask = "--mask FIRST.png " if model.readout.one_shot else ""
  LOG.info(
    "next      vosjax segment VIDEO %s--checkpoint %s/model --out DIR", mask, path
  )


def _fit(
  config, model, stages, judged, initial, path
) -> tuple[TrainState, TrainState | None]:
  """Trains; the first process also reports and validates.

  Returns:
    The last state, and the best one by validation if that is another.
  """
  with contextlib.ExitStack() as stack:
    checkpoints = Checkpoints(path / "checkpoints", keep=config.checkpoint.keep)
    stack.callback(checkpoints.close)
    state = replicate(
      TrainState.create(initial, stages[0].tx, config.seed), stages[0].mesh
    )
    done, last = checkpoints.latest() or 0, stages[-1].stop
    if done:
      LOG.info("resuming  at step %d of %d", done, last)
      state = checkpoints.restore(state)
    observers, actions, validation = [], [], None
    if processes.is_first():
      writer = writers.MetricsWriter(path, resumed_from=done)
      stack.callback(writer.close)
      scoring, unseen = judged
      validation = Validation(config, scoring, model, unseen, writer, path)
      progress = stack.enter_context(Progress(config, stages, done))
      observers = [progress, Logger(writer, config.log.every_steps, last)]
      actions = [
        Every(config.validation.every_steps, validation),
        Every(config.log.curves_every_steps, lambda *_: writers.draw_curves(path)),
      ]

    def save(step, state):
      score = processes.from_first(validation and validation.score_of(step))
      checkpoints.save(step, state, score=score)

    actions.append(Every(config.checkpoint.every_steps, save))  # after its score
    interrupt = stack.enter_context(Interrupt())
    state = fit(
      state,
      stages,
      checkpoints=checkpoints,
      interrupt=interrupt,
      observers=observers,
      actions=actions,
    )
    best = checkpoints.best()
    is_last = best is None or best == last
    return state, None if is_last else checkpoints.restore(state, best)


def evaluate(config: ConfigDict, workdir: str | None) -> None:
  """Scores `evaluation.checkpoint`, or else WORKDIR/model, and writes WORKDIR/eval."""
  model, variables = trained.load(config, workdir)
  scoring = recipe_of(config).scoring(config, model)
  unseen = datasets.open_scored(config, scoring.task)
  path, _ = open_workdir(config, workdir)
  finish(config, scoring, model, variables, unseen, path)
  LOG.info("scores are in %s, pictures in %s", path / "eval", path / "preview")


Mode = Callable[[ConfigDict, str | None], None]
MODES: Mapping[str, Mode] = {"train": train, "evaluate": evaluate, "predict": predict}


def run(
  config: ConfigDict, workdir: str | None, modes: Mapping[str, Mode] = MODES
) -> None:
  """Does what `config.mode` says.

  Args:
    config: see configs/base.py.
    workdir: folder of the run; None makes a fresh one below runs/.
    modes: what `config.mode` may name.

  Raises:
    ValueError: configuration, data or folder do not fit; says what to do.
    Interrupted: a signal came; the run can be resumed.
  """
  _speak()
  LOG.info(config.title)
  if config.mode not in modes:
    raise ValueError(f"mode is {config.mode!r}; known: {list(modes)}.")
  if config.mode != "train" and jax.process_count() > 1:
    raise ValueError(
      f"mode is {config.mode!r}, the work of one process, but there are "
      f"{jax.process_count()}. Start a single one, without --coordinator."
    )
  modes[config.mode](config, workdir)
  processes.wait("the end")


def build(config: ConfigDict) -> nn.Module:
  """The configured model."""
  return models.build(config.model.name, **config.model.fields.to_dict())


def init(model: nn.Module, config: ConfigDict) -> Variables:
  """Variables before training, the same for the same seed."""
  size = tuple(next(iter(config.stages.values())).size)
  frames, masks = jnp.zeros((1, *size, 3)), jnp.zeros((1, 1, *size))
  variables = jax.jit(model.init)(jax.random.key(config.seed), frames, masks)
  if config.model_checkpoint:
    _, given = model_files.load(config.model_checkpoint)
    unfit = f"model_checkpoint {config.model_checkpoint} does not fit the model"
    model_files.require_equal_shapes(given, variables, unfit)
    return given
  if config.backbone_checkpoint:
    variables = load_backbone(config.backbone_checkpoint, variables)
  return variables


def make_stages(
  config: ConfigDict, model: nn.Module
) -> tuple[list[Stage], dict[str, dict[str, Source]]]:
  """The configured stages, and each one's sources by name.

  Stages of equal sources share them, and with them what is kept in memory.

  Raises:
    ValueError: data are missing; lists what all stages miss.
  """
  recipe = recipe_of(config)
  stages, sources, missing, start = [], {}, {}, 0
  opened: dict[Source, Source] = {}
  for name, options in config.stages.items():
    try:
      found = feeds.training_sources(config, options)
    except ValueError as error:
      missing.setdefault(str(error), []).append(name)
      continue
    sources[name] = {key: opened.setdefault(s, s) for key, s in found.items()}
    mesh = make_mesh(options.batch_size)
    tx = recipe.tx(model, options)
    objective = recipe.objective(model, options)
    stages.append(
      Stage(
        name=name,
        start=start,
        stop=start + options.num_steps,
        mesh=mesh,
        tx=tx,
        train_step=make_train_step(objective, tx, mesh),
        batches=recipe.batches(config, options, sources[name]),
        from_best=options.from_best,
      )
    )
    start += options.num_steps
  if missing:
    raise ValueError(
      " ".join(f"stage {', '.join(s)}: {text}" for text, s in missing.items())
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
  LOG.info(
    "devices   %d x %s (%s)", len(devices), devices[0].device_kind, devices[0].platform
  )
  for stage in stages:
    options = config.stages[stage.name]
    mixed = ", ".join(
      f"{name} ({len(source)} videos, {feeds.origin(source)})"
      for name, source in sources[stage.name].items()
    )
    LOG.info(
      "stage     %s: %s; %d clips x %d frames, %d x %d, %d steps on %d device(s)",
      stage.name,
      mixed,
      options.batch_size,
      options.clip_length,
      *options.size,
      options.num_steps,
      stage.mesh.size,
    )
  params = variables["params"]
  LOG.info(parameter_overview.get_parameter_overview(params, include_stats=False))
  frozen = ", ".join(model.frozen) or "nothing"
  LOG.info("model     %s; frozen: %s", config.model.name, frozen)
