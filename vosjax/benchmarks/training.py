"""Benchmark of training: the speed of each stage, and where the time goes."""

import functools
import itertools
import logging
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import numpy as np
from ml_collections import ConfigDict

from vosjax import files
from vosjax.benchmarks import feed
from vosjax.benchmarks.model import random_variables
from vosjax.inference.compilation import COMPILING_CALLS
from vosjax.models.unroll import encode_clip
from vosjax.train import config_files, run
from vosjax.train.config import ordered_stages
from vosjax.train.recipe import Objective, Recipe
from vosjax.train.recipes import recipe_of
from vosjax.train.state import TrainState
from vosjax.train.step import make_mesh, make_train_step, replicate, shard
from vosjax.train.workdir import open_workdir
from vosjax.types import Variables

LOG = logging.getLogger("vosjax")

FEED_SECONDS = 4.0  # duration of each measurement of a feed

PARTS = ("encoder", "decoder and loss", "gradient", "update")


def benchmark(config: ConfigDict, workdir: str | None) -> None:
  """Measures each stage on procedural clips and writes WORKDIR/speed.json.

  The file is written after each stage, so that Ctrl-C leaves those that are measured.
  """
  model = run.build(config)
  recipe = recipe_of(config)
  variables = jax.device_get(run.initial_variables(model, config))
  path, _ = open_workdir(config, workdir)
  results = {}
  for name, stage in ordered_stages(config).items():
    LOG.info(
      "measuring %s: %d clips x %d frames, %d x %d",
      name,
      stage.batch_size,
      stage.clip_length,
      *stage.size,
    )
    results[name] = measure_stage(
      config, stage, recipe, model, variables, feed_seconds=FEED_SECONDS
    )
    LOG.info("%s", format_table({name: results[name]}))
    files.write_json(path / "speed.json", results)


def measure_recipe(name: str, dtype: str) -> dict[str, Any]:
  """Measures the first stage of a built-in configuration, see `measure_stage`.

  Args:
    name: of the configuration, such as "agame:released".
    dtype: of the convolutions.
  """
  config = config_files.read(name, [])
  config.model.fields.dtype = dtype
  stage = next(iter(ordered_stages(config).values()))
  model = run.build(config)
  variables = random_variables(model)
  return measure_stage(config, stage, recipe_of(config), model, variables)


def measure_stage(
  config: ConfigDict,
  stage: ConfigDict,
  recipe: Recipe,
  model: nn.Module,
  variables: Variables,
  *,
  steps: int = 5,
  feed_seconds: float = 0.0,
) -> dict[str, Any]:
  """Times the updates of a stage on procedural clips of its shape.

  Four programs are compiled and timed: the features of all frames; these and the loss;
  these and the gradient; and the whole update. The time of each part is the difference
  between two of them, which is accurate except for what the compiler shares between
  parts.

  Args:
    config: of the run.
    stage: its options; procedural videos replace its sources.
    recipe: of the model.
    model: built with the fields of the run.
    variables: of the model; any values, as they do not affect speed.
    steps: number of updates to time; the median counts.
    feed_seconds: if positive, measure also the feed, and training on it, for about
      this long each.

  Returns:
    `device`; `devices`, the number in use; `ms_per_step`; `frames_per_second`, over all
    frames of a batch; `compile_seconds`, on a GPU of the step without and with a CUDA
    graph; `temporary_bytes`, which the step (without a graph) needs in addition to
    state and batch (None if the backend does not report them); `part_ms`,
    by name of the part (PARTS); and `feed`, see `feed.measure`, if it is measured.
  """
  mesh = make_mesh(stage.batch_size, accumulate=stage.accumulate)
  tx = recipe.clipped_optimizer(model, stage)
  objective = recipe.objective(model, stage)
  procedural = feed.procedural(config, stage, recipe)
  # COSNet's steps alternate between two kinds: the one with more frames is measured.
  first = itertools.islice(procedural.batches(0), 3)
  host_batch = max(first, key=lambda batch: batch["frames"].size)
  batch = shard(host_batch, mesh)
  state = replicate(TrainState.create(variables, tx, config.seed), mesh)
  step = make_train_step(objective, tx, mesh, accumulate=stage.accumulate)
  began = time.perf_counter()
  for _ in range(COMPILING_CALLS):
    state, metrics = step(state, batch)
    jax.block_until_ready(metrics)
  first_seconds = time.perf_counter() - began
  inputs = state.variables, state.step_key(), batch
  part_ends = [
    _median_ms(functools.partial(part, *inputs), steps)
    for part in _make_parts(model, objective)
  ]

  def update():
    nonlocal state
    state, metrics = step(state, batch)
    return metrics

  step_ms = _median_ms(update, steps)
  part_ms = dict(zip(PARTS, np.diff([0.0, *part_ends, step_ms]).tolist()))
  memory = step.lower(state, batch).compile().memory_analysis()
  b, t = batch.frames.shape[:2]
  result = {
    "device": jax.devices()[0].device_kind,
    "devices": mesh.size,
    "ms_per_step": step_ms,
    "frames_per_second": 1e3 * b * t / step_ms,
    "compile_seconds": max(0.0, first_seconds - 1e-3 * COMPILING_CALLS * step_ms),
    "temporary_bytes": memory.temp_size_in_bytes if memory else None,
    "part_ms": part_ms,
  }
  if feed_seconds:
    pending = None

    def train(clips):  # as `loop.fit` does
      nonlocal state, pending
      state, metrics = step(state, clips)
      jax.device_get(pending)
      pending = metrics

    sized = feed.of_size(procedural, tuple(batch.frames.shape[2:4]))
    result["feed"] = feed.measure(sized, train, batch, mesh, seconds=feed_seconds)
  return result


def format_table(results: Mapping[str, Mapping[str, Any]]) -> str:
  """Formats the results of all stages for a terminal."""
  lines = []
  for name, result in results.items():
    size = result["temporary_bytes"]
    mebibytes = "unknown" if size is None else f"{size / 2**20:,.0f}"
    lines.append(
      f"{name}: {result['ms_per_step']:.0f} ms per step, "
      f"{result['frames_per_second']:.2f} frames/s; compiled in "
      f"{result['compile_seconds']:.0f} s; {mebibytes} "
      "MiB besides state and batch"
    )
    for part, ms in result["part_ms"].items():
      lines.append(f"  {part:<18}{ms:10.0f} ms{ms / result['ms_per_step']:8.0%}")
    if "feed" in result:
      lines.append(feed.describe(result["feed"]))
  return "\n".join(lines)


def _make_parts(
  model: nn.Module, objective: Objective
) -> tuple[Callable[..., Any], ...]:
  """Programs for the first part of an update, the first two and the first three."""

  def loss(params, variables, key, batch):
    return objective({**variables, "params": params}, batch, key)

  @jax.jit
  def encode(variables, key, batch):
    del key
    frames = batch.frames.astype("float32") / 255
    return encode_clip(model, variables, frames, train=True)

  @jax.jit
  def forward(variables, key, batch):
    return loss(variables["params"], variables, key, batch)

  @jax.jit
  def gradient(variables, key, batch):
    return jax.grad(loss, has_aux=True)(variables["params"], variables, key, batch)

  return encode, forward, gradient


def _median_ms(call: Callable[[], Any], times: int) -> float:
  jax.block_until_ready(call())
  seconds = []
  for _ in range(times):
    began = time.perf_counter()
    jax.block_until_ready(call())
    seconds.append(time.perf_counter() - began)
  return 1e3 * statistics.median(seconds)
