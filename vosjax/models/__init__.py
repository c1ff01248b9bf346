"""Networks for video object segmentation, as pure functions of their variables."""

import dataclasses
from typing import Any

import flax.linen as nn

from vosjax.models import execution
from vosjax.models.agame import AGame
from vosjax.models.cosnet import COSNet
from vosjax.models.execution import Execution, with_execution
from vosjax.models.modules.norm import fold
from vosjax.models.ris import RIS
from vosjax.models.rsis import RSIS
from vosjax.models.rvos import RVOS
from vosjax.models.unroll import Unrolled, decide, unroll

MODELS: dict[str, type[nn.Module]] = {
  "agame": AGame,
  "cosnet": COSNet,
  "ris": RIS,
  "rsis": RSIS,
  "rvos": RVOS,
}

__all__ = [
  "MODELS",
  "RIS",
  "RSIS",
  "RVOS",
  "AGame",
  "COSNet",
  "Execution",
  "Unrolled",
  "build",
  "decide",
  "field_names",
  "fields_of",
  "fold",
  "unroll",
  "with_execution",
]


_OF_FLAX = ("parent", "name")  # fields of every module

# Options that have nothing to act on: no decoder that takes one object after another,
# or no BatchNorm.
_WITHOUT_EFFECT = {
  "agame": ("unroll_objects",),
  "cosnet": ("unroll_objects",),
  "ris": ("axis_name",),
}


def field_names(name: str) -> tuple[str, ...]:
  """What `build(name, ...)` accepts: the model's fields and the execution options.

  Raises:
    ValueError: the name is unknown; the known ones are listed.
  """
  if name not in MODELS:
    raise ValueError(f"model {name!r} is unknown; known: {sorted(MODELS)}.")
  fields = (field.name for field in dataclasses.fields(MODELS[name]))
  refused = (*_OF_FLAX, "execution", *_WITHOUT_EFFECT.get(name, ()))
  return tuple(x for x in (*fields, *execution.OPTIONS) if x not in refused)


def fields_of(model: nn.Module) -> dict[str, Any]:
  """The fields of a built model by name, its execution options as one record."""
  names = (field.name for field in dataclasses.fields(model))
  return {name: getattr(model, name) for name in names if name not in _OF_FLAX}


def build(name: str, **fields: Any) -> nn.Module:
  """Builds a model by name.

  Args:
    name: one of MODELS.
    **fields: of the model's class, whose defaults are those of the official weights;
      and those of `dtype`, `remat`, `axis_name` and `unroll_objects` (see Execution)
      that affect the model.

  Raises:
    ValueError: the name or a field is unknown; the known ones are listed.
  """
  known = field_names(name)
  unknown = sorted(set(fields) - set(known))
  if unknown:
    raise ValueError(f"model {name!r} has no field {unknown}; known: {sorted(known)}.")
  return execution.construct(MODELS[name], fields)
