"""What RVOS and RSIS are trained with alike: two Adams, one for the backbone."""

from typing import Any

import flax.linen as nn
import flax.traverse_util
import optax
from ml_collections import ConfigDict

from vosjax.train.optimizers.adam import FROZEN, coupled_adam, label_params
from vosjax.types import Variables

_BACKBONE = "encoder/backbone"


def two_adams(model: nn.Module, stage: ConfigDict) -> optax.GradientTransformation:
  """An Adam for the backbone and one for all the rest.

  The released programs list most tensors of the backbone several times, so that each
  step updates them as often, and their Adam counts that many steps: 3 times for what
  lies in a block, 4 times for a block's shortcut.

  Args:
    model: an RVOS or RSIS; its `frozen` parameters stay as they are.
    stage: `learning_rate` is that of the rest, `encoder_learning_rate` that of the
      backbone; `official` repeats updates as the released programs do.
  """

  def adam(rate, times=1):
    return _repeated(
      coupled_adam(
        learning_rate=rate,
        lr_decay=stage.lr_decay,
        steps_per_epoch=stage.steps_per_epoch * times,
        weight_decay=stage.weight_decay,
      ),
      times,
    )

  def label(path, given):
    if given == FROZEN:
      return FROZEN
    if not path.startswith(_BACKBONE):
      return "rest"
    if not stage.official or "/stem/" in path:
      return "backbone"
    return "backbone x4" if "/shortcut/" in path else "backbone x3"

  def labels(params: Variables) -> Any:
    known = flax.traverse_util.flatten_dict(label_params(params, model.frozen), sep="/")
    chosen = {path: label(path, given) for path, given in known.items()}
    return flax.traverse_util.unflatten_dict(chosen, sep="/")

  rate = stage.encoder_learning_rate
  parts = {
    "rest": adam(stage.learning_rate),
    "backbone": adam(rate),
    "backbone x3": adam(rate, 3),
    "backbone x4": adam(rate, 4),
    FROZEN: optax.set_to_zero(),
  }
  return optax.partition(parts, labels)


def _repeated(
  tx: optax.GradientTransformation, times: int
) -> optax.GradientTransformation:
  """So many updates in one, all with the same gradient."""
  if times == 1:
    return tx

  def update(grads, state, params=None):
    total = optax.tree.zeros_like(grads)
    for _ in range(times):
      updates, state = tx.update(grads, state, optax.apply_updates(params, total))
      total = optax.tree.add(total, updates)
    return total, state

  return optax.GradientTransformation(tx.init, update)
