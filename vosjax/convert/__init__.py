"""Official PyTorch checkpoints as our variables, without PyTorch."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from vosjax import checkpoints, models
from vosjax.convert import agame, cosnet, rsis, rvos
from vosjax.convert.resnet import convert_resnet, find_variant, resnet_rules
from vosjax.convert.rules import apply_rules, strip_data_parallel
from vosjax.convert.torch_file import read_torch

TABLES = {
    "agame": agame.RULES,
    "cosnet": cosnet.RULES,
    "rsis": rsis.RULES,
    "rvos": rvos.RULES,
}

__all__ = [
    "TABLES", "apply_rules", "convert", "convert_resnet", "find_fields", "find_variant",
    "read_torch", "resnet_rules", "strip_data_parallel",
]  # fmt: skip


def find_fields(name: str, state_dict: Mapping[str, np.ndarray]) -> dict[str, Any]:
  """Fields of the model that an official state dict belongs to, off their defaults.

  Args:
    name: one of TABLES.
    state_dict: as for `convert`, without `module.` prefixes.
  """
  find = {"rsis": rsis.find_fields, "rvos": rvos.find_fields}.get(name)
  return find(state_dict) if find else {}


def convert(name: str, state_dict: Mapping[str, np.ndarray], **fields: Any) -> dict:
  """Turns an official state dict into the variables of `models.build(name, **fields)`.

  Args:
    name: one of TABLES.
    state_dict: official names and arrays, as `read_torch` gives them; the encoder's
      and decoder's tensors of two-file models under `encoder.` and `decoder.`.
    **fields: of the model, where the weights are not those of its defaults.

  Raises:
    ValueError: the model is unknown; or any tensor has no place, any of our variables
      is never filled, or any shape differs: all of them are named at once.
  """
  if name not in TABLES:
    raise ValueError(f"no official checkpoint of {name!r}; known: {sorted(TABLES)}.")
  shapes = checkpoints.variable_shapes(models.build(name, **fields))
  return apply_rules(name, TABLES[name], strip_data_parallel(state_dict), shapes)
