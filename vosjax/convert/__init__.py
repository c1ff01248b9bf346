"""Official PyTorch checkpoints as models and variables of ours, without PyTorch."""

import os
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import numpy as np

from vosjax import checkpoints
from vosjax.convert import (
  agame,
  cosnet,
  deeplab,
  efficientnet,
  resnet,
  rsis,
  rvos,
  vgg,
)
from vosjax.convert.resnet import find_variant, resnet_rules
from vosjax.convert.rules import Rule, apply_rules, strip_data_parallel
from vosjax.convert.torch_file import read_torch

# Rule tables of models, and of backbones from which training starts. A table that
# depends on the fields of `convert` is a function of them.
TABLES: dict[str, tuple[Rule, ...] | Callable[..., tuple[Rule, ...]]] = {
  "agame": agame.RULES,
  "cosnet": cosnet.RULES,
  "deeplab": deeplab.RULES,
  "efficientnet": efficientnet.rules,
  "resnet": resnet.RULES,
  "rsis": rsis.RULES,
  "rvos": rvos.RULES,
  "vgg": vgg.RULES,
}
# Models whose official weights come in several files, in the order of `load`.
PARTS = {"rsis": ("encoder", "decoder"), "rvos": ("encoder", "decoder")}
_FIELDS = {
  "deeplab": deeplab.find_fields,
  "efficientnet": efficientnet.find_fields,
  "resnet": resnet.find_fields,
  "rsis": rsis.find_fields,
  "rvos": rvos.find_fields,
}

__all__ = [
  "PARTS",
  "TABLES",
  "apply_rules",
  "convert",
  "find_fields",
  "find_variant",
  "load",
  "read_official",
  "read_torch",
  "resnet_rules",
  "strip_data_parallel",
]


def find_fields(name: str, state_dict: Mapping[str, np.ndarray]) -> dict[str, Any]:
  """Fields of the model that an official state dict belongs to.

  Args:
    name: one of TABLES.
    state_dict: as for `convert`, without `module.` prefixes.

  Returns:
    Those fields that may differ from the model's defaults.

  Raises:
    ValueError: the backbone is none of the known ones.
  """
  return _FIELDS[name](state_dict) if name in _FIELDS else {}


def convert(name: str, state_dict: Mapping[str, np.ndarray], **fields: Any) -> dict:
  """Turns an official state dict into the variables of a model or backbone.

  Args:
    name: one of TABLES.
    state_dict: official names and arrays, as `read_torch` returns them; for models
      with two files, the tensors of the encoder and the decoder under `encoder.` and
      `decoder.`.
    **fields: of `models.build(name, **fields)` or of the backbone, where the weights
      do not fit the defaults; see `find_fields`.

  Raises:
    ValueError: the model is unknown; or a tensor has no counterpart, a variable is
      never filled, or a shape differs. All such names are listed.
  """
  if name not in TABLES:
    raise ValueError(f"no official checkpoint of {name!r}; known: {sorted(TABLES)}.")
  shapes = checkpoints.variable_shapes(checkpoints.build(name, fields))
  title = checkpoints.describe(name, fields)
  table = TABLES[name]
  rules = table(**fields) if callable(table) else table
  return apply_rules(title, rules, strip_data_parallel(state_dict), shapes)


def load(name: str, *paths: str | os.PathLike) -> tuple[nn.Module, dict]:
  """Loads official weights; see `read_official` for arguments and errors.

  Returns:
    The model (or backbone) that the weights belong to, and its variables.
  """
  fields, variables = read_official(name, *paths)
  return checkpoints.build(name, fields), variables


def read_official(
  name: str, *paths: str | os.PathLike
) -> tuple[dict[str, Any], dict[str, Any]]:
  """Reads official weights.

  Args:
    name: one of TABLES.
    *paths: the official file; for the models in PARTS two, the encoder's first.

  Returns:
    The fields that `checkpoints.build` takes, and the variables.

  Raises:
    ValueError: the name is unknown, the number of files is wrong, or a file is not a
      checkpoint of that model.
    OSError: a file cannot be read.
  """
  if name not in TABLES:
    raise ValueError(f"no official checkpoint of {name!r}; known: {sorted(TABLES)}.")
  prefixes = [f"{part}." for part in PARTS[name]] if name in PARTS else [""]
  if len(paths) != len(prefixes):
    expected = "two files, encoder and decoder" if name in PARTS else "one file"
    raise ValueError(f"{name} comes in {expected}; {len(paths)} given.")
  state_dict: dict[str, np.ndarray] = {}
  for prefix, path in zip(prefixes, paths):
    tensors = strip_data_parallel(read_torch(path))
    state_dict |= {f"{prefix}{key}": tensor for key, tensor in tensors.items()}
  try:
    fields = find_fields(name, state_dict)
    return fields, convert(name, state_dict, **fields)
  except ValueError as error:
    raise ValueError(f"{', '.join(map(str, paths))}: {error}") from error
