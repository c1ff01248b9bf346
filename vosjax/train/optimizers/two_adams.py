"""The optimizer of RVOS and RSIS: one Adam for the backbone, one for the rest."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import flax.traverse_util
import optax
from ml_collections import ConfigDict

from vosjax.train.optimizers.adam import FROZEN, coupled_adam, label_params
from vosjax.types import Variables

BACKBONE, REST = "backbone", "rest"
_BACKBONE_PATH = "encoder/backbone"


def two_adams(model: nn.Module, stage: ConfigDict) -> optax.GradientTransformation:
  """Adam with separate learning rates for the backbone and for everything else.

  Args:
    model: an RVOS or RSIS; its `frozen` parameters are not changed.
    stage: `encoder_learning_rate` is that of the backbone, `learning_rate` that of
      everything else.
  """

  def labels(params: Variables) -> Any:
    return flax.traverse_util.unflatten_dict(label_parts(params, model.frozen), sep="/")

  adams = {
    BACKBONE: stage_adam(stage, stage.encoder_learning_rate),
    REST: stage_adam(stage, stage.learning_rate),
    FROZEN: optax.set_to_zero(),
  }
  return optax.partition(adams, labels)


def stage_adam(
  stage: ConfigDict, learning_rate: float, updates_per_step: int = 1
) -> optax.GradientTransformation:
  """`coupled_adam` with a stage's schedule and weight decay.

  Args:
    stage: options of the stage.
    learning_rate: initial.
    updates_per_step: number of updates within a step; epochs are counted in steps.
  """
  return coupled_adam(
    learning_rate=learning_rate,
    lr_decay=stage.lr_decay,
    steps_per_epoch=stage.steps_per_epoch * updates_per_step,
    weight_decay=stage.weight_decay,
  )


def label_parts(params: Variables, frozen: Sequence[str]) -> dict[str, str]:
  """BACKBONE, REST or FROZEN for each parameter, by its path joined by slashes."""
  labels = flax.traverse_util.flatten_dict(label_params(params, frozen), sep="/")

  def part(path: str, label: str) -> str:
    if label == FROZEN:
      return FROZEN
    return BACKBONE if path.startswith(_BACKBONE_PATH) else REST

  return {path: part(path, label) for path, label in labels.items()}
