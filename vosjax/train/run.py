"""One run: trains and scores a model, or only scores it or writes its predictions."""

import contextlib
import logging
import pathlib
import shutil
import sys
import textwrap
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import flax.traverse_util
import jax
import jax.numpy as jnp
from clu import parameter_overview
from flax.errors import FlaxError
from ml_collections import ConfigDict

from vosjax import checkpoints as model_files
from vosjax import files, models, weights
from vosjax.data.video import Source
from vosjax.train import backbone, feeds, processes, writers
from vosjax.train.checkpointing import Checkpoints
from vosjax.train.config import ordered_stages, require_values
from vosjax.train.image_datasets import MissingFolder
from vosjax.train.interrupt import Interrupt, TimeLimit
from vosjax.train.loop import Schedule, Stage, fit, restore, resume
from vosjax.train.observers import Logger, Progress
from vosjax.train.optimizers import adam
from vosjax.train.recipe import Scoring
from vosjax.train.recipes import recipe_of
from vosjax.train.scoring import datasets, trained
from vosjax.train.scoring.datasets import ScoredSet
from vosjax.train.scoring.predict import write_predictions
from vosjax.train.scoring.score import Validation, score_model
from vosjax.train.state import TrainState
from vosjax.train.step import make_mesh, make_train_step, replicate
from vosjax.train.workdir import (
  open_workdir,
  record_or_compare_videos,
  require_usable_workdir,
)
from vosjax.types import Variables

LOG = logging.getLogger("vosjax")

_PROCEDURAL = 8  # videos of synthvos that `evaluation.also` scores
# Between the seeds of two stages, so that each draws its videos in an order of its own.
_STAGE_SEED_OFFSET = 1_000_033

Mode = Callable[[ConfigDict, str | None], None]
Sources = Mapping[str, Mapping[str, Source]]  # by stage and name


def run(
  config: ConfigDict, workdir: str | None, modes: Mapping[str, Mode] | None = None
) -> None:
  """Runs the mode that `config.mode` names.

  Args:
    config: see vosjax/train/config.py.
    workdir: folder of the run; None makes a new one below runs/.
    modes: what `config.mode` may name; by default `MODES`.

  Raises:
    ValueError: the configuration, the data or the folder are unusable; says what to do.
    Interrupted: a signal stopped the run, which can be resumed.
  """
  modes = MODES if modes is None else modes
  _log_to_stdout()
  LOG.info(config.title)
  require_values(config)
  if config.mode not in modes:
    raise ValueError(f"mode is {config.mode!r}; known: {list(modes)}.")
  if config.mode not in _SHARED_MODES and jax.process_count() > 1:
    raise ValueError(
      f"mode is {config.mode!r}, which runs in a single process, but there are "
      f"{jax.process_count()}. Start one process, without --coordinator."
    )
  with contextlib.ExitStack() as stack:
    if workdir is not None and processes.is_first():  # before anything slow
      require_usable_workdir(config, workdir)
      stack.enter_context(files.claimed(pathlib.Path(workdir), f"--workdir={workdir}"))
    modes[config.mode](config, workdir)
    processes.barrier("end")


def train(config: ConfigDict, workdir: str | None) -> None:
  """Trains through all stages, resuming where the workdir's run stopped."""
  began = time.monotonic()
  model = build(config)
  stages, sources = make_stages(config, model)
  scoring = recipe_of(config).scoring(config, model)
  datasets.require_further_datasets(config, scoring.task)
  scored_set = datasets.load_scored(config, scoring.task)
  initial = jax.device_get(initial_variables(model, config))
  path, resumed = open_workdir(config, workdir)
  LOG.info("workdir   %s%s", path, ", resuming its run" if resumed else "")
  if processes.is_first():
    record_or_compare_videos(path, sources)
  describe(config, model, initial, sources, stages)
  validation_set = datasets.load_validation(config, scored_set)
  fitted = _fit(config, model, stages, initial, path, scoring, validation_set)
  if processes.is_first():
    _save_models(path, config, fitted)
  variables = jax.device_get((fitted.best or fitted.last).variables)
  score_model(config, scoring, model, variables, scored_set, path, initial=initial)
  for dataset in config.evaluation.also:
    _score_also(config, dataset, model, variables, path)
  LOG.info("done in %.0f s; everything is in %s", time.monotonic() - began, path)
  mask = "--mask FIRST.png " if model.readout.one_shot else ""
  LOG.info(
    "next      vosjax segment VIDEO %s--checkpoint %s/model --out DIR", mask, path
  )


def _score_also(
  config: ConfigDict,
  dataset: str,
  model: nn.Module,
  variables: Variables,
  path: pathlib.Path,
) -> None:
  """Scores a model on a further dataset, below WORKDIR/DATASET, if it is there.

  A dataset that is there but cannot be read does not end the run: what was trained is
  saved and scored by now.
  """
  config = config.copy_and_resolve_references()
  config.evaluation.dataset = dataset
  # Those of synthvos have no end.
  config.evaluation.num_videos = _PROCEDURAL if dataset == "synthvos" else 0
  scoring = recipe_of(config).scoring(config, model)
  scored_set = None
  try:
    scored_set = datasets.load_scored(config, scoring.task)
  except MissingFolder as error:
    LOG.info("no scores on %s: %s", dataset, error)
  except (ValueError, OSError) as error:
    LOG.warning("warning: no scores on %s: %s", dataset, error)
  is_everywhere = all(processes.gather(scored_set is not None))
  if scored_set is None:
    return
  if not is_everywhere:
    LOG.warning("warning: no scores on %s: another process cannot read it.", dataset)
    return
  try:
    score_model(config, scoring, model, variables, scored_set, path / dataset)
  except (ValueError, OSError) as error:
    if jax.process_count() > 1:  # the others wait for this one's scores
      raise
    LOG.warning("warning: no scores on %s: %s", dataset, error)


def evaluate(config: ConfigDict, workdir: str | None) -> None:
  """Scores `evaluation.checkpoint`, or else WORKDIR/model, and writes WORKDIR/eval."""
  recipe = recipe_of(config)
  model, variables = _load_trained(config, workdir)
  scoring = recipe.scoring(config, model)
  scored_set = datasets.load_scored(config, scoring.task)
  path, _ = open_workdir(config, workdir)
  score_model(config, scoring, model, variables, scored_set, path)
  LOG.info("scores are in %s, previews in %s", path / "eval", path / "preview")


def predict(config: ConfigDict, workdir: str | None) -> None:
  """Writes the masks that the same model predicts to WORKDIR/predictions."""
  recipe = recipe_of(config)
  model, variables = _load_trained(config, workdir)
  scoring = recipe.scoring(config, model)
  write_predictions(config, workdir, scoring, model, variables)


def _load_trained(
  config: ConfigDict, workdir: str | None
) -> tuple[nn.Module, Variables]:
  """Reads the trained model, and says which fields of the configuration it ignores."""
  model, variables = trained.load(config, workdir)
  if changed := _other_fields(build(config), model):
    LOG.info(
      "fields    are those of the checkpoint: %s; the configuration has others",
      ", ".join(f"{name}={was}" for name, was, _ in changed),
    )
  return model, variables


# Several processes can share the work of these.
_SHARED_MODES = ("train", "evaluate", "predict")
MODES: Mapping[str, Mode] = {"train": train, "evaluate": evaluate, "predict": predict}


def _log_to_stdout() -> None:
  """Configures logging to stdout; only the first process logs progress."""
  LOG.setLevel(logging.INFO if processes.is_first() else logging.WARNING)
  LOG.propagate = False  # absl's handler would print everything again
  LOG.handlers = [logging.StreamHandler(sys.stdout)]


def build(config: ConfigDict) -> nn.Module:
  """The configured model."""
  return models.build(config.model.name, **config.model.fields.to_dict())


def make_stages(
  config: ConfigDict, model: nn.Module
) -> tuple[list[Stage], dict[str, dict[str, Source]]]:
  """The configured stages in their order, and the sources of each by name.

  Stages with equal sources share them, and with them what is cached in memory.

  Raises:
    ValueError: data are missing or options do not fit; lists this for all stages.
  """
  recipe = recipe_of(config)
  stages: list[Stage] = []
  sources: dict[str, dict[str, Source]] = {}
  faults: dict[str, list[str]] = {}  # message -> stages that it concerns
  opened: dict[Source, Source] = {}
  start = 0
  for index, (name, stage_config) in enumerate(ordered_stages(config).items()):
    try:
      found = feeds.training_sources(config, stage_config)
      objective = recipe.objective(model, stage_config)
    except ValueError as error:
      faults.setdefault(str(error), []).append(name)
      continue
    sources[name] = {key: opened.setdefault(s, s) for key, s in found.items()}
    seed = config.seed + index * _STAGE_SEED_OFFSET
    accumulate = stage_config.accumulate
    mesh = make_mesh(stage_config.batch_size, accumulate=accumulate)
    tx = recipe.clipped_optimizer(model, stage_config)
    stages.append(
      Stage(
        name=name,
        start=start,
        stop=start + stage_config.num_steps,
        mesh=mesh,
        tx=tx,
        train_step=make_train_step(objective, tx, mesh, accumulate=accumulate),
        batches_from=recipe.batches(config, stage_config, sources[name], seed),
        from_best=stage_config.from_best,
      )
    )
    start += stage_config.num_steps
  if faults:
    raise ValueError(
      " ".join(f"stage {', '.join(s)}: {text}" for text, s in faults.items())
    )
  return stages, sources


def initial_variables(model: nn.Module, config: ConfigDict) -> Variables:
  """Variables before training, the same for the same seed.

  Raises:
    ValueError: `model_checkpoint` or `backbone_checkpoint` does not fit the model, or
      its fields make no network.
  """
  try:
    return _initial_variables(model, config)
  except (ArithmeticError, FlaxError, TypeError) as error:  # as of negative features
    described = model_files.describe(config.model.name, config.model.fields.to_dict())
    reason = textwrap.shorten(str(error), 300, placeholder=" ...")
    raise ValueError(
      f"config.model.fields make no network ({reason}): {described}."
    ) from error


def _initial_variables(model: nn.Module, config: ConfigDict) -> Variables:
  # Checkpoints are checked against shapes, before anything slow starts.
  if config.model_checkpoint:
    trained, loaded = weights.load(config.model_checkpoint)
    misfit = f"model_checkpoint {config.model_checkpoint} does not fit the model"
    model_files.require_equal_shapes(loaded, model_files.variable_shapes(model), misfit)
    if processes.is_first():
      _warn_of_other_fields(model, trained, config.model_checkpoint)
    return loaded
  if config.backbone_checkpoint:
    shapes = model_files.variable_shapes(model)
    part = backbone.load_backbone(config.backbone_checkpoint, shapes)
    return backbone.replace(random_variables(model, config), part)
  return random_variables(model, config)


def _warn_of_other_fields(model: nn.Module, trained: nn.Module, origin: str) -> None:
  """Warns of fields that differ: they can change what weights mean in equal shapes."""
  if changed := _other_fields(model, trained):
    LOG.warning(
      "warning: model_checkpoint %s has %s, and this run %s. Unless this is intended, "
      "set --config.model.fields as they were.",
      origin,
      ", ".join(f"{name}={was}" for name, was, _ in changed),
      ", ".join(f"{name}={now}" for name, _, now in changed),
    )


def _other_fields(model: nn.Module, trained: nn.Module) -> list[tuple[str, Any, Any]]:
  """Name, value in `trained` and value in `model` of each field that differs."""
  was, now = (model_files.hashable(models.fields_of(x)) for x in (trained, model))
  names = sorted(set(was) - {"execution"})
  return [(name, was[name], now[name]) for name in names if was[name] != now[name]]


def random_variables(model: nn.Module, config: ConfigDict) -> Variables:
  """Random initial variables, the same for the same seed.

  They are drawn on the CPU, where that takes 5 s; compiling it for an H100 takes 36. If
  JAX_PLATFORMS leaves out the CPU, the default device draws them, and their last digits
  may differ.
  """
  first, *_ = ordered_stages(config).values()
  size = tuple(first.size)
  with jax.default_device(_cpu()):
    frames, masks = jnp.zeros((1, *size, 3)), jnp.zeros((1, 1, *size))
    return jax.jit(model.init)(jax.random.key(config.seed), frames, masks)


def _cpu() -> jax.Device | None:
  """The CPU, or the default device where JAX was told to leave the CPU out."""
  try:
    return jax.local_devices(backend="cpu")[0]
  except RuntimeError:
    return None


def describe(
  config: ConfigDict,
  model: nn.Module,
  variables: Variables,
  sources: Sources,
  stages: Sequence[Stage],
) -> None:
  """Logs the devices, the data of each stage and the table of parameters."""
  devices = jax.devices()
  LOG.info(
    "devices   %d x %s (%s)", len(devices), devices[0].device_kind, devices[0].platform
  )
  for stage in stages:
    stage_config = config.stages[stage.name]
    mixed = ", ".join(
      f"{name} ({len(source)} videos, {feeds.origin(source)})"
      for name, source in sources[stage.name].items()
    )
    LOG.info(
      "stage     %s: %s; %d clips x %d frames, %d x %d, %d steps on %d device(s)",
      stage.name,
      mixed,
      stage_config.batch_size,
      stage_config.clip_length,
      *stage_config.size,
      stage_config.num_steps,
      stage.mesh.size,
    )
  params = variables["params"]
  LOG.info(parameter_overview.get_parameter_overview(params, include_stats=False))
  frozen = ", ".join(model.frozen) or "nothing"
  LOG.info("model     %s; frozen: %s", config.model.name, frozen)
  if processes.is_first():
    _warn_of_random_layers(config, model, params)


def _warn_of_random_layers(
  config: ConfigDict, model: nn.Module, params: Variables
) -> None:
  """Warns of layers that start from random weights and are never trained."""
  if config.model_checkpoint or config.backbone_checkpoint:
    return
  labels = flax.traverse_util.flatten_dict(adam.label_params(params, model.frozen))
  # Frozen norms alone begin as the identity.
  if any(path[-1] == "kernel" and x == adam.FROZEN for path, x in labels.items()):
    LOG.warning(
      "warning: the frozen layers are random, and training leaves them so. Start a new "
      "run with trained ones: --config.backbone_checkpoint=DIR, where `vosjax convert` "
      "wrote such a backbone, or agame-lite for an EfficientNet-Lite0."
    )


class Fitted(NamedTuple):
  """What training returns.

  Attributes:
    last: the state after the last step.
    best: the best state by validation, if it is not the last.
  """

  last: TrainState
  best: TrainState | None


def _fit(
  config: ConfigDict,
  model: nn.Module,
  stages: Sequence[Stage],
  initial: Variables,
  path: pathlib.Path,
  scoring: Scoring,
  validation_set: ScoredSet,
) -> Fitted:
  """Trains; the first process also reports."""
  with contextlib.ExitStack() as stack:
    checkpoints = Checkpoints(path / "checkpoints", keep=config.checkpoint.keep)
    stack.callback(checkpoints.close)
    state = replicate(
      TrainState.create(initial, stages[0].tx, config.seed), stages[0].mesh
    )
    state = resume(checkpoints, stages, state)
    done, last = int(state.step), stages[-1].stop
    if done:
      LOG.info("resuming  at step %d of %d", done, last)
    reporting: dict[str, Any] = {}  # arguments of `fit` for the first process alone
    writer = None
    if processes.is_first():
      validated = checkpoints.score(done) is not None
      writer = writers.MetricsWriter(path, resumed_from=done, validated=validated)
      stack.callback(writer.close)
      progress = stack.enter_context(Progress(config, stages, done))
      pending = checkpoints.unlogged(done) if done else []
      logger = Logger(writer, config.log.every_steps, last, pending)
      reporting = {
        "observers": [progress, logger],
        "unlogged": lambda: logger.pending,
        "draw_curves": lambda: writers.draw_curves(path),
      }
    interrupt = stack.enter_context(Interrupt())
    validation = Validation(
      config,
      scoring,
      model,
      validation_set,
      writer,
      path,
      is_stopped=lambda: interrupt.signum is not None,
    )
    time_limit = TimeLimit(config.time_limit)
    schedule = Schedule(
      validate=config.validation.every_steps,
      save=config.checkpoint.every_steps,
      draw=config.log.curves_every_steps,
    )
    state = fit(
      state,
      stages,
      schedule,
      checkpoints=checkpoints,
      interrupt=interrupt,
      time_limit=time_limit,
      validate=validation,
      **reporting,
    )
    best = checkpoints.best()
    if best is None or best == int(state.step):
      return Fitted(state, None)
    return Fitted(state, restore(checkpoints, stages, state, best))


def _save_models(path: pathlib.Path, config: ConfigDict, fitted: Fitted) -> None:
  """Saves the best model, and the last one if that is another."""
  best = fitted.best or fitted.last
  _save_model(path / "model", config, jax.device_get(best.variables))
  model_last = path / "model_last"
  if fitted.best is None:
    if model_last.exists():  # of a run that ended earlier and was resumed
      shutil.rmtree(model_last)
    return
  _save_model(model_last, config, jax.device_get(fitted.last.variables))
  LOG.info(
    "best      step %d by validation, in %s/model; model_last/ is the last step's",
    best.step,
    path,
  )


def _save_model(folder: pathlib.Path, config: ConfigDict, variables: Variables) -> None:
  """Saves variables in the form that `vosjax segment --checkpoint` reads."""
  fields = config.model.fields.to_dict()
  model_files.save(folder, config.model.name, fields, variables)
