"""Writes a model as StableHLO programs, which run without vosjax.

The programs are `begin`, for the first frame of a video, `step`, for every further one,
and for one-shot models `correct`, for objects that are elsewhere, and `add`, for those
that appear later (not of RVOS). All take a dict of the weights first. The state is a
list of arrays, which the manifest names.
"""

import json
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import flax.traverse_util
import jax
import jax.export
import numpy as np
import safetensors.numpy

from vosjax import files
from vosjax.export import runner
from vosjax.export.programs import VideoPrograms
from vosjax.inference import checks, programs
from vosjax.models.api import KeepsSlots
from vosjax.types import Variables

FORMAT = 1
MANIFEST, WEIGHTS, RUNNER = "manifest.json", "weights.safetensors", "run.py"
PLATFORMS = ("cpu", "cuda", "rocm", "tpu")
_OUTPUTS = ("state", "labels", "probs", "present")
_MAX_SLOTS = 254  # labels are bytes, and 255 is void


def write(
  folder: pathlib.Path,
  name: str,
  model: nn.Module,
  variables: Variables,
  *,
  size: tuple[int, int],
  objects: int,
  platforms: Sequence[str] = ("cpu", "cuda", "tpu"),
  weights_inside: bool = False,
) -> dict[str, Any]:
  """Writes programs, weights, manifest and a runner into a folder.

  Args:
    folder: new, empty, or that of an earlier export.
    name: of the model, for the manifest.
    model: any model of `vosjax.models`.
    variables: of the model.
    size: (height, width) of the frames.
    objects: number of slots. Models that decode a fixed number have at least that many.
    platforms: some of PLATFORMS; every program runs on each.
    weights_inside: they are constants of the programs, instead of a file beside them.

  Returns:
    The manifest.

  Raises:
    ValueError: an argument is out of range.
  """
  platforms = tuple(platforms)
  check(folder, model, objects, platforms)
  # What is prepared for another backend than "cpu" runs on all.
  backend = "cpu" if platforms == ("cpu",) else "gpu"
  prepared, folded = programs.prepare(model, variables, backend=backend)
  flat = flax.traverse_util.flatten_dict(dict(folded), sep="/")
  weights = {key: np.asarray(value, np.float32) for key, value in flat.items()}
  num_slots = max(objects, model.readout.num_slots or 0)
  recurrence = checks.choose_recurrence(None, model)
  video = VideoPrograms(prepared, size, num_slots, recurrence)
  state = _shape_state(video, weights)
  manifest: dict[str, Any] = {
    "format": FORMAT,
    "model": name,
    "jax": jax.__version__,
    "size": list(size),
    "objects": num_slots,
    "one_shot": model.readout.one_shot,
    "platforms": list(platforms),
    "weights": None if weights_inside else WEIGHTS,
    "state": _describe(state),
    "programs": {},
  }
  contents = {RUNNER: pathlib.Path(runner.__file__).read_bytes()}
  if not weights_inside:
    contents[WEIGHTS] = safetensors.numpy.save(weights)
  for program, (function, inputs) in _functions(video, state).items():
    exported = _export(function, inputs, weights, platforms, inside=weights_inside)
    file = f"{program}.stablehlo"
    contents[file] = bytes(exported.serialize())
    manifest["programs"][program] = {
      "file": file,
      "inputs": ["weights", *inputs],
      "outputs": list(_OUTPUTS) if program in ("begin", "step") else ["state"],
    }
  contents[MANIFEST] = (json.dumps(manifest, indent=2) + "\n").encode()
  folder.mkdir(parents=True, exist_ok=True)
  for stale in (*folder.glob("*.stablehlo"), folder / WEIGHTS):  # of an earlier export
    if stale.name not in contents:
      stale.unlink(missing_ok=True)
  for file, content in contents.items():
    files.write_bytes(folder / file, content)
  return manifest


def check(
  folder: pathlib.Path, model: nn.Module, objects: int, platforms: Sequence[str]
) -> None:
  """Refuses what cannot be exported, or not into this folder.

  Raises:
    ValueError: a platform is unknown, the number of objects is out of range, or the
      folder holds something else.
  """
  unknown = sorted(set(platforms) - set(PLATFORMS))
  if unknown or not platforms:
    raise ValueError(f"platforms are {list(platforms)}; known: {list(PLATFORMS)}.")
  readout = model.readout
  most = _MAX_SLOTS if readout.one_shot else readout.num_slots
  if not 1 <= objects <= most:
    raise ValueError(
      f"objects is {objects}; expected 1 to {most}, as this model finds objects itself "
      "and has so many slots."
      if not readout.one_shot
      else f"objects is {objects}; expected 1 to {most}."
    )
  if not folder.exists():
    return
  is_export = folder.is_dir() and (folder / MANIFEST).is_file()
  if not folder.is_dir() or (any(folder.iterdir()) and not is_export):
    raise ValueError(f"{folder} holds something else than an export; choose a new one.")


Function = Callable[..., Any]


def _functions(
  video: VideoPrograms, state: Any
) -> dict[str, tuple[Function, dict[str, Any]]]:
  """By name, each program and the shapes of its inputs besides the weights."""
  leaves, tree = jax.tree.flatten(state)
  frame, labels = _input_shapes(video)
  given = {} if labels is None else {"labels": labels}

  def flat(program: Function) -> Function:
    def call(variables, *inputs):
      state, *rest = program(variables, *inputs)
      return (jax.tree.leaves(state), *rest)

    return call

  def unflatten(program: Function) -> Function:
    def call(variables, leaves, *inputs):
      return program(variables, jax.tree.unflatten(tree, leaves), *inputs)

    return flat(call)

  functions = {
    "begin": (flat(video.begin), {"frame": frame} | given),
    "step": (unflatten(video.step), {"state": leaves, "frame": frame}),
  }
  if given:
    inputs = {"state": leaves, "frame": frame, "labels": labels}
    functions["correct"] = unflatten(video.correct), inputs
    if not isinstance(video.model, KeepsSlots):
      functions["add"] = unflatten(video.add), inputs
  return functions


def _export(
  function: Function,
  inputs: dict[str, Any],
  weights: dict[str, np.ndarray],
  platforms: tuple[str, ...],
  *,
  inside: bool,
) -> jax.export.Exported:
  """Lowers one program; weights that are inside are not an input, but an empty one."""

  def program(passed, *inputs):
    flat = weights if inside else passed
    return function(flax.traverse_util.unflatten_dict(flat, sep="/"), *inputs)

  passed = {} if inside else jax.tree.map(_shape_of, weights)
  exporter = jax.export.export(jax.jit(program), platforms=platforms)
  return exporter(passed, *inputs.values())


def _shape_state(video: VideoPrograms, weights: dict[str, np.ndarray]) -> Any:
  """Shapes of the state, which is the same after each program."""

  def begin(weights, frame, labels):
    variables = flax.traverse_util.unflatten_dict(weights, sep="/")
    return video.begin(variables, frame, labels)[0]

  return jax.eval_shape(begin, jax.tree.map(_shape_of, weights), *_input_shapes(video))


def _input_shapes(video: VideoPrograms) -> tuple[Any, Any]:
  """Of a frame and its labels, which zero-shot models do not take."""
  frame = jax.ShapeDtypeStruct((*video.size, 3), np.uint8)
  if not video.model.readout.one_shot:
    return frame, None
  return frame, jax.ShapeDtypeStruct(video.size, np.int32)


def _describe(state: Any) -> list[dict[str, Any]]:
  """Name, shape and dtype of each array of the state, in order."""
  return [
    {
      "name": jax.tree_util.keystr(path, simple=True, separator="."),
      "shape": list(leaf.shape),
      "dtype": np.dtype(leaf.dtype).name,
    }
    for path, leaf in jax.tree_util.tree_leaves_with_path(state)
  ]


def _shape_of(x: Any) -> jax.ShapeDtypeStruct:
  return jax.ShapeDtypeStruct(x.shape, x.dtype)
