"""Trained weights that are part of the package, one file each.

A file is in the safetensors format: arrays in float16, and in its header the model's
name and fields. Nothing in it is ever executed. Models that have the same frozen
backbone share one copy of it: the header names the file that has the arrays.
"""

import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import flax.core
import flax.linen as nn
import flax.traverse_util
import jax
import numpy as np

from vosjax import checkpoints, files
from vosjax.types import Variables

FOLDER = pathlib.Path(__file__).parent
SUFFIX = ".safetensors"
# What a model uses unless told otherwise.
DEFAULTS = {"agame": "agame-lite", "cosnet": "cosnet-lite"}
_FORMAT = "1"


class SharedPart(NamedTuple):
  """A part of a model that is kept with other weights of the package.

  Attributes:
    path: of the module in this model, such as "encoder/backbone".
    weights: name of the other weights.
    source: path of the module in their model.
  """

  path: str
  weights: str
  source: str


def names() -> list[str]:
  """Names of the weights in the package."""
  return sorted(path.stem for path in FOLDER.glob(f"*{SUFFIX}"))


def locate(name: checkpoints.Path) -> pathlib.Path:
  """The path of weights, which exists.

  Args:
    name: one of `names()`; otherwise the path of a checkpoint or of a safetensors file.
      A folder that has the name of weights in the package needs its full path.

  Raises:
    ValueError: there is nothing of this name; lists what there is.
  """
  if os.fspath(name) in names():
    return FOLDER / f"{name}{SUFFIX}"
  path = pathlib.Path(name)
  if not path.exists():
    raise ValueError(
      f"{path} does not exist, and is not the name of weights in the package: "
      f"{', '.join(names())}. Train a model, or convert an official file with "
      "`vosjax convert`."
    )
  return path


def load(name: checkpoints.Path) -> tuple[nn.Module, dict]:
  """Loads weights of the package by name, or a checkpoint by its folder.

  Args:
    name: see `locate`.

  Returns:
    The model, and its variables in float32.

  Raises:
    ValueError: there is nothing of this name, or it is damaged; says what to do.
  """
  path = locate(name)
  return read(path) if path.suffix == SUFFIX else checkpoints.load(path)


def read(path: checkpoints.Path) -> tuple[nn.Module, dict]:
  """Reads a file that `write` wrote.

  Returns:
    The model, and its variables in float32.

  Raises:
    ValueError: it is damaged, or its arrays do not fit its model; names the file.
  """
  metadata, flat = _read_file(path)
  try:
    name, fields = metadata["name"], json.loads(metadata["fields"])
    found = metadata["format"]
    shared = json.loads(metadata.get("shared", "null"))
  except (KeyError, ValueError) as error:
    raise _damaged(path, error) from error
  if found != _FORMAT:
    raise ValueError(f"{path} has format {found!r}; this version reads {_FORMAT!r}.")
  if shared is not None:
    flat |= _take_part(SharedPart(*shared))
  model = checkpoints.build(name, checkpoints.hashable(fields))
  # NumPy converts at once; JAX would compile a program for every shape.
  arrays = {key: value.astype(np.float32) for key, value in flat.items()}
  variables = jax.device_put(flax.traverse_util.unflatten_dict(arrays, sep="/"))
  if pathlib.Path(path).parent != FOLDER:  # those in the package fit: a test sees to it
    shapes = checkpoints.variable_shapes(model)  # takes most of a second
    checkpoints.require_equal_shapes(
      variables, shapes, f"{path} does not fit its model"
    )
  return model, variables


def _read_file(
  path: checkpoints.Path,
) -> tuple[dict[str, str], dict[str, np.ndarray]]:
  """Header and arrays of a file; ValueError if it is damaged."""
  import safetensors  # models and inference do without

  try:
    with safetensors.safe_open(path, framework="numpy") as file:
      arrays = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
      return file.metadata() or {}, arrays
  except safetensors.SafetensorError as error:
    raise _damaged(path, error) from error


def _damaged(path: checkpoints.Path, reason: Exception) -> ValueError:
  return ValueError(
    f"{path} is damaged ({reason}). If it came with vosjax, install vosjax again."
  )


def _take_part(part: SharedPart) -> dict[str, np.ndarray]:
  """The arrays of a part in other weights of the package, at their new paths."""
  _, arrays = _read_file(locate(part.weights))
  return {
    _move(key, part.source, part.path): array
    for key, array in arrays.items()
    if _is_below(key, part.source)
  }


def _is_below(key: str, path: str) -> bool:
  """Whether the array of COLLECTION/PATH/... is part of the module at a path."""
  return key.partition("/")[2].startswith(f"{path}/")


def _move(key: str, source: str, path: str) -> str:
  collection, _, rest = key.partition("/")
  return f"{collection}/{path}{rest.removeprefix(source)}"


def write(
  path: checkpoints.Path,
  name: str,
  fields: Mapping[str, Any],
  variables: Variables,
  shared: SharedPart | None = None,
) -> None:
  """Writes a model's variables in float16.

  Args:
    path: of the new file.
    name: of the model.
    fields: of the model; values must fit into JSON.
    variables: of that model.
    shared: a part that other weights of the package have as well; it is left out.

  Raises:
    ValueError: the variables do not fit the model, a value is too large for float16,
      or the shared part differs from that of the other weights.
  """
  fields = json.loads(json.dumps(dict(fields)))
  shapes = checkpoints.variable_shapes(
    checkpoints.build(name, checkpoints.hashable(fields))
  )
  checkpoints.require_equal_shapes(variables, shapes, "the variables do not fit")
  tree = flax.core.unfreeze(dict(variables))
  flat = flax.traverse_util.flatten_dict(tree, sep="/")
  with np.errstate(over="ignore"):  # refused below
    arrays = {key: np.asarray(value, np.float16) for key, value in flat.items()}
  wrong = [key for key, value in arrays.items() if not np.isfinite(value).all()]
  if wrong:
    raise ValueError(f"{wrong[:5]} hold values that float16 cannot represent.")
  metadata = {"format": _FORMAT, "name": name, "fields": json.dumps(fields)}
  if shared is not None:
    metadata["shared"] = json.dumps(shared)
    own = {key: x for key, x in arrays.items() if _is_below(key, shared.path)}
    other = _take_part(shared)
    if {*own} != {*other} or not all(np.array_equal(own[k], other[k]) for k in own):
      raise ValueError(
        f"{shared.path} differs from {shared.source} of {shared.weights}, so it "
        "cannot be shared."
      )
    arrays = {key: x for key, x in arrays.items() if key not in own}
  import safetensors.numpy

  files.write_bytes(pathlib.Path(path), safetensors.numpy.save(arrays, metadata))
