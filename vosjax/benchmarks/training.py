"""How fast the stages of a configuration train here, and where a step's time goes."""

import functools
import json
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
from vosjax.models.unroll import encode_clip
from vosjax.train import feeds, run
from vosjax.train.recipe import Recipe
from vosjax.train.recipes import recipe_of
from vosjax.train.state import TrainState
from vosjax.train.step import make_mesh, make_train_step, replicate, shard
from vosjax.train.workdir import open_workdir
from vosjax.types import Variables, VideoBatch

LOG = logging.getLogger("vosjax")

PROCEDURAL = "synthvos"
PARTS = ("encoder", "decoder and loss", "gradient", "update")


def benchmark(config: ConfigDict, workdir: str | None) -> None:
  """Measures how fast each stage trains on drawn clips; writes WORKDIR/speed.json."""
  model = run.build(config)
  recipe, variables = recipe_of(config), jax.device_get(run.init(model, config))
  path, _ = open_workdir(config, workdir)
  results = {}
  for name, stage in config.stages.items():
    LOG.info(
      "measuring %s: %d clips x %d frames, %d x %d",
      name,
      stage.batch_size,
      stage.clip_length,
      *stage.size,
    )
    results[name] = measure_stage(config, stage, recipe, model, variables)
  LOG.info("%s", table(results))
  text = json.dumps(results, indent=2) + "\n"
  files.write_bytes(path / "speed.json", text.encode())


def measure_stage(
  config: ConfigDict,
  stage: ConfigDict,
  recipe: Recipe,
  model: nn.Module,
  variables: Variables,
  *,
  steps: int = 5,
) -> dict[str, Any]:
  """Times the updates of a stage on procedural clips of its shape.

  Parts are differences: features of all frames alone, the whole loss, loss and
  gradient, the whole update. Each is compiled and timed by itself, so that they are
  where the time goes but for what the compiler shares between them.

  Args:
    config: of the run.
    stage: its options; its sources give way to procedural videos.
    recipe: of the model.
    model: with the fields of the run.
    variables: any; they change no speed.
    steps: updates that are timed; the median counts.

  Returns:
    `device`, and `devices`, how many take part; `ms_per_step`; `frames_per_second`,
    of all that a batch holds; `compile_seconds`; `temporary_bytes`, what the step
    needs beside state and batch; and `part_ms`, by PARTS.
  """
  mesh = make_mesh(stage.batch_size)
  tx = recipe.tx(model, stage)
  objective = recipe.objective(model, stage)
  batch = _draw(config, stage, recipe, mesh)
  state = replicate(TrainState.create(variables, tx, config.seed), mesh)
  began = time.perf_counter()
  step = make_train_step(objective, tx, mesh).lower(state, batch).compile()
  compile_seconds = time.perf_counter() - began
  inputs = state.variables, state.step_key(), batch
  marks = [
    _median_ms(functools.partial(part, *inputs), steps)
    for part in _make_parts(model, objective)
  ]

  def update():
    nonlocal state
    state, metrics = step(state, batch)
    return metrics

  whole = _median_ms(update, steps)
  part_ms = dict(zip(PARTS, np.diff([0.0, *marks, whole]).tolist()))
  b, t = batch.frames.shape[:2]
  return {
    "device": jax.devices()[0].device_kind,
    "devices": mesh.size,
    "ms_per_step": whole,
    "frames_per_second": 1e3 * b * t / whole,
    "compile_seconds": compile_seconds,
    "temporary_bytes": step.memory_analysis().temp_size_in_bytes,
    "part_ms": part_ms,
  }


def table(results: Mapping[str, Mapping[str, Any]]) -> str:
  """The figures of all stages, for a terminal."""
  lines = []
  for name, result in results.items():
    lines.append(
      f"{name}: {result['ms_per_step']:.0f} ms a step, "
      f"{result['frames_per_second']:.2f} frames/s; compiled in "
      f"{result['compile_seconds']:.0f} s; {result['temporary_bytes'] / 2**20:,.0f} "
      "MiB beside state and batch"
    )
    for part, ms in result["part_ms"].items():
      lines.append(f"  {part:<18}{ms:10.0f} ms{ms / result['ms_per_step']:8.0%}")
  return "\n".join(lines)


def _draw(config, stage, recipe, mesh) -> VideoBatch:
  """A batch of procedural clips, whatever the stage's own data are."""
  drawn = stage.copy_and_resolve_references()
  with drawn.unlocked():
    drawn.sources = ConfigDict({PROCEDURAL: 1.0})
  # Steps of COSNet take turns: that with the most frames counts.
  drawn.update(replacement=True, samples_per_pass=0, num_steps=3)
  sources = feeds.training_sources(config, drawn)
  batches = recipe.batches(config, drawn, sources)(0)
  return shard(max(batches, key=lambda batch: batch["frames"].size), mesh)


def _make_parts(model, objective) -> tuple[Callable[..., Any], ...]:
  """The work of an update up to three places."""

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
