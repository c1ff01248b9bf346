"""COSNet's optimizer: SGD with momentum and a rate for each part of the network.

Source: the released COSNet (Lu et al., CVPR 2019), and PyTorch 1.0's update rule.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import flax.traverse_util
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int

from vosjax.train.optimizers.adam import FROZEN, label_params
from vosjax.train.optimizers.alternation import Rates
from vosjax.types import Variables

ENCODER = "encoder/"
# How often the released program lists an encoder's parameter, and thereby updates it.
REPEATS = (
  (r"encoder/resnet/stage\d/block\d+/shortcut/.*", 4),
  (r"encoder/resnet/stage\d/.*", 3),
  (r"encoder/pyramid/.*", 2),
)


class SgdState(NamedTuple):
  """Steps done, and the moving sums of gradients."""

  count: Int[Array, ""]
  buffers: Variables


def make_alternating_sgd(
  rates: Callable[[Int[Array, ""]], Rates],
  *,
  momentum: float,
  weight_decay: float,
  frozen: Sequence[str] = (),
  repeat: bool = False,
) -> optax.GradientTransformation:
  """SGD as PyTorch does it: b <- momentum b + (g + decay p); p <- p - rate b.

  A rate of 0 leaves a parameter as it is, while its buffer goes on.

  Args:
    rates: of encoder and heads, by the number of steps done.
    momentum: of the buffers.
    weight_decay: added to the gradient, of every trained parameter.
    frozen: path prefixes of parameters that stay as they are.
    repeat: update as often as the released program lists a parameter (`REPEATS`); each
      time with the same gradient, to which the decay is added once more.
  """

  def init(params):
    zeros = jax.tree.map(jnp.zeros_like, params)
    return SgdState(jnp.zeros((), jnp.int32), zeros)

  def update(grads, state, params):
    now = rates(state.count)
    times = count_updates(params, frozen, repeat=repeat)
    flat = [
      flax.traverse_util.flatten_dict(tree, sep="/")
      for tree in (params, grads, state.buffers)
    ]
    moved, buffers = {}, {}
    for path, param, grad, buffer in zip(flat[0], *(tree.values() for tree in flat)):
      rate = now.encoder if path.startswith(ENCODER) else now.heads
      step = jnp.zeros_like(param)
      for _ in range(times[path]):
        grad = grad + weight_decay * (param + step)
        buffer = momentum * buffer + grad
        step = step - rate * buffer
      moved[path], buffers[path] = step, buffer
    moved, buffers = (
      flax.traverse_util.unflatten_dict(tree, sep="/") for tree in (moved, buffers)
    )
    return moved, SgdState(state.count + 1, buffers)

  return optax.GradientTransformation(init, update)


def count_updates(
  params: Variables, frozen: Sequence[str], *, repeat: bool
) -> Mapping[str, int]:
  """How often each parameter, by its path, is updated in a step; 0: it is frozen."""
  labels = flax.traverse_util.flatten_dict(label_params(params, frozen), sep="/")
  table = REPEATS if repeat else ()

  def times(path):
    return next((n for pattern, n in table if re.fullmatch(pattern, path)), 1)

  return {path: 0 if label == FROZEN else times(path) for path, label in labels.items()}
