"""COSNet's optimizer: SGD with momentum and one rate for each part of the network.

Source: the released COSNet (Lu et al., CVPR 2019), and PyTorch 1.0's update rule.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import flax.traverse_util
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int

from vosjax.train.optimizers.adam import FROZEN, label_params
from vosjax.train.optimizers.alternation import Rates
from vosjax.types import Variables

_ENCODER_PATH = "encoder/"


class SgdState(NamedTuple):
  """State of the optimizer.

  Attributes:
    num_steps: number of completed steps.
    buffers: moving sums of gradients.
  """

  num_steps: Int[Array, ""]
  buffers: Variables


def _once(path: str) -> int:
  del path
  return 1


def make_alternating_sgd(
  rates: Callable[[Int[Array, ""]], Rates],
  *,
  momentum: float,
  weight_decay: float,
  frozen: Sequence[str] = (),
  num_updates: Callable[[str], int] = _once,
) -> optax.GradientTransformation:
  """SGD as in PyTorch: b <- momentum b + (g + decay p); p <- p - rate b.

  At a rate of 0 a parameter stays as it is, while its buffer is updated.

  Args:
    rates: learning rates of encoder and heads, given the number of steps done.
    momentum: of the buffers.
    weight_decay: added to the gradient of every trained parameter.
    frozen: path prefixes of parameters that are not changed.
    num_updates: number of updates per step of the parameter at a path. All updates of
      a step use the same gradient, to which each one adds the decay again.
  """

  def init(params):
    zeros = jax.tree.map(jnp.zeros_like, params)
    return SgdState(jnp.zeros((), jnp.int32), zeros)

  def update(grads, state, params):
    current = rates(state.num_steps)
    labels = label_params(params, frozen)
    flat_params, flat_labels, flat_grads, flat_buffers = (
      flax.traverse_util.flatten_dict(tree, sep="/")
      for tree in (params, labels, grads, state.buffers)
    )
    steps: dict[str, Any] = {}
    new_buffers: dict[str, Any] = {}
    for path, param in flat_params.items():
      grad, buffer = flat_grads[path], flat_buffers[path]
      rate = current.encoder if path.startswith(_ENCODER_PATH) else current.heads
      step = jnp.zeros_like(param)
      for _ in range(0 if flat_labels[path] == FROZEN else num_updates(path)):
        grad = grad + weight_decay * (param + step)
        buffer = momentum * buffer + grad
        step = step - rate * buffer
      steps[path], new_buffers[path] = step, buffer
    updates, buffers = (
      flax.traverse_util.unflatten_dict(tree, sep="/") for tree in (steps, new_buffers)
    )
    return updates, SgdState(state.num_steps + 1, buffers)

  return optax.GradientTransformation(init, update)
