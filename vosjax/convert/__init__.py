"""Official PyTorch checkpoints as our variables, without PyTorch."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from vosjax import checkpoints
from vosjax.convert import agame, cosnet, deeplab, resnet, rsis, rvos, vgg
from vosjax.convert.resnet import find_variant, resnet_rules
from vosjax.convert.rules import apply_rules, strip_data_parallel
from vosjax.convert.torch_file import read_torch

# Models, and backbones that training starts from.
TABLES = {
  "agame": agame.RULES,
  "cosnet": cosnet.RULES,
  "deeplab": deeplab.RULES,
  "resnet": resnet.RULES,
  "rsis": rsis.RULES,
  "rvos": rvos.RULES,
  "vgg": vgg.RULES,
}
_FIELDS = {
  "deeplab": deeplab.find_fields,
  "resnet": resnet.find_fields,
  "rsis": rsis.find_fields,
  "rvos": rvos.find_fields,
}

__all__ = [
  "TABLES",
  "apply_rules",
  "convert",
  "find_fields",
  "find_variant",
  "read_torch",
  "resnet_rules",
  "strip_data_parallel",
]


def find_fields(name: str, state_dict: Mapping[str, np.ndarray]) -> dict[str, Any]:
  """Fields of the model that an official state dict belongs to, off their defaults.

  Args:
    name: one of TABLES.
    state_dict: as for `convert`, without `module.` prefixes.

  Raises:
    ValueError: the names are of no ResNet, where one is looked for.
  """
  return _FIELDS[name](state_dict) if name in _FIELDS else {}


def convert(name: str, state_dict: Mapping[str, np.ndarray], **fields: Any) -> dict:
  """Turns an official state dict into the variables of a model or backbone.

  Args:
    name: one of TABLES.
    state_dict: official names and arrays, as `read_torch` gives them; the encoder's
      and decoder's tensors of two-file models under `encoder.` and `decoder.`.
    **fields: of `models.build(name, **fields)`, or of the backbone, where the weights
      are not those of its defaults.

  Raises:
    ValueError: the model is unknown; or any tensor has no place, any of our variables
      is never filled, or any shape differs: all of them are named at once.
  """
  if name not in TABLES:
    raise ValueError(f"no official checkpoint of {name!r}; known: {sorted(TABLES)}.")
  shapes = checkpoints.variable_shapes(checkpoints.build(name, fields))
  title = checkpoints.describe(name, fields)
  return apply_rules(title, TABLES[name], strip_data_parallel(state_dict), shapes)
