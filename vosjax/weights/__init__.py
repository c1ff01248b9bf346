"""Trained weights that are part of the package, one file each.

A file is in the safetensors format: arrays in float16, and in its header the model's
name and fields. Nothing in it is ever executed.
"""

import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import flax.core
import flax.linen as nn
import flax.traverse_util
import jax
import numpy as np

from vosjax import checkpoints, files
from vosjax.types import Variables

FOLDER = pathlib.Path(__file__).parent
SUFFIX = ".safetensors"
DEFAULTS = {"agame": "agame-lite"}  # what a model uses unless told otherwise
_FORMAT = "1"


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
  import safetensors  # models and inference do without

  try:
    with safetensors.safe_open(path, framework="numpy") as file:
      metadata = file.metadata() or {}
      flat = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    name, fields = metadata["name"], json.loads(metadata["fields"])
    found = metadata["format"]
  except (safetensors.SafetensorError, KeyError, ValueError) as error:
    raise ValueError(
      f"{path} is damaged ({error}). If it came with vosjax, install vosjax again."
    ) from error
  if found != _FORMAT:
    raise ValueError(f"{path} has format {found!r}; this version reads {_FORMAT!r}.")
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


def write(
  path: checkpoints.Path, name: str, fields: Mapping[str, Any], variables: Variables
) -> None:
  """Writes a model's variables in float16.

  Args:
    path: of the new file.
    name: of the model.
    fields: of the model; values must fit into JSON.
    variables: of that model.

  Raises:
    ValueError: the variables do not fit the model, or a value is too large for
      float16.
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
  import safetensors.numpy

  files.write_bytes(pathlib.Path(path), safetensors.numpy.save(arrays, metadata))
