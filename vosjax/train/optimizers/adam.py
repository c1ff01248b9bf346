"""Adam with coupled weight decay, for the parameters that are trained."""

from collections.abc import Sequence
from typing import Any

import flax.traverse_util
import optax

from vosjax.types import Variables

TRAINED, FROZEN = "trained", "frozen"


def make_optimizer(
  *,
  learning_rate: float,
  lr_decay: float,
  steps_per_epoch: int,
  weight_decay: float,
  frozen: Sequence[str] = (),
) -> optax.GradientTransformation:
  """`coupled_adam` for all parameters but the frozen ones.

  Args:
    learning_rate: see `coupled_adam`, as for the next three.
    lr_decay: factor once per epoch.
    steps_per_epoch: updates in an epoch.
    weight_decay: added to the gradient.
    frozen: path prefixes of parameters that are not changed; these have no moments.
  """
  adam = coupled_adam(
    learning_rate=learning_rate,
    lr_decay=lr_decay,
    steps_per_epoch=steps_per_epoch,
    weight_decay=weight_decay,
  )
  return optax.partition(
    {TRAINED: adam, FROZEN: optax.set_to_zero()},
    lambda params: label_params(params, frozen),
  )


def coupled_adam(
  *,
  learning_rate: float,
  lr_decay: float,
  steps_per_epoch: int,
  weight_decay: float,
) -> optax.GradientTransformation:
  """Adam with coupled weight decay and a learning rate that decays once per epoch.

  Args:
    learning_rate: in the first epoch.
    lr_decay: factor after each epoch.
    steps_per_epoch: updates in an epoch.
    weight_decay: added to the gradient before the moments (PyTorch's Adam, not
      AdamW), of every trained parameter.

  Source: Johnander et al., CVPR 2019 (released program).
  """
  schedule = optax.exponential_decay(
    learning_rate, steps_per_epoch, lr_decay, staircase=True
  )
  return optax.chain(
    optax.add_decayed_weights(weight_decay),
    optax.scale_by_adam(b1=0.9, b2=0.999, eps=1e-8),
    optax.scale_by_learning_rate(schedule),
  )


def label_params(params: Variables, frozen: Sequence[str]) -> Any:
  """The tree of `params` with TRAINED or FROZEN at each leaf.

  Raises:
    ValueError: a prefix of `frozen` matches no parameter.
  """
  paths = flax.traverse_util.flatten_dict(params, sep="/")

  def fits(path, prefix):
    return path == prefix or path.startswith(f"{prefix}/")

  for prefix in frozen:
    if not any(fits(path, prefix) for path in paths):
      raise ValueError(
        f"frozen: no parameter below {prefix!r}; known: "
        f"{sorted({'/'.join(path.split('/')[:2]) for path in paths})}."
      )
  labels = {
    path: FROZEN if any(fits(path, prefix) for prefix in frozen) else TRAINED
    for path in paths
  }
  return flax.traverse_util.unflatten_dict(labels, sep="/")
