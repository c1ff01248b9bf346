"""Repeated updates of the backbones of RVOS and RSIS, as in the released programs.

They list most tensors of the backbone several times, so that each step updates these as
often, and their Adam counts as many steps: three times for tensors in a residual block,
four times for a block's shortcut.
"""

from typing import Any

import flax.linen as nn
import flax.traverse_util
import optax
from ml_collections import ConfigDict

from vosjax.train.optimizers.adam import FROZEN
from vosjax.train.optimizers.two_adams import BACKBONE, REST, label_parts, stage_adam
from vosjax.types import Variables


def num_updates(path: str) -> int:
  """Number of updates per step of the backbone's parameter at a path."""
  if "/stem/" in path:
    return 1
  return 4 if "/shortcut/" in path else 3


def repeated_two_adams(
  model: nn.Module, stage: ConfigDict
) -> optax.GradientTransformation:
  """`two_adams` with repeated updates of the backbone.

  Args:
    model: an RVOS or RSIS; its `frozen` parameters are not changed.
    stage: see `two_adams`.
  """

  def labels(params: Variables) -> Any:
    parts = label_parts(params, model.frozen)
    repeated = {
      path: f"{BACKBONE} x{num_updates(path)}" if part == BACKBONE else part
      for path, part in parts.items()
    }
    return flax.traverse_util.unflatten_dict(repeated, sep="/")

  adams = {
    f"{BACKBONE} x{n}": _repeat(stage_adam(stage, stage.encoder_learning_rate, n), n)
    for n in (1, 3, 4)
  }
  adams |= {REST: stage_adam(stage, stage.learning_rate), FROZEN: optax.set_to_zero()}
  return optax.partition(adams, labels)


def _repeat(
  tx: optax.GradientTransformation, times: int
) -> optax.GradientTransformation:
  """Several updates in one, all with the same gradient."""

  def update(grads, state, params=None):
    total = optax.tree.zeros_like(grads)
    for _ in range(times):
      updates, state = tx.update(grads, state, optax.apply_updates(params, total))
      total = optax.tree.add(total, updates)
    return total, state

  return optax.GradientTransformation(tx.init, update)
