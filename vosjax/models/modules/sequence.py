"""Decoding of one object after another until none is left (RSIS and RIS)."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from vosjax.types import Active, Prediction

NOTHING = -100.0  # logit of a slot that was not decoded: no pixel, no object


def decode_until_stop(
  model: nn.Module,
  step: Callable[[nn.Module, Any], tuple[Any, Prediction]],
  start: Any,
  active: Active,
  score: str,
) -> Prediction:
  """Predictions of all slots; those after the last object hold NOTHING.

  The scores decide the length of the loop, without compiling anything again. Slots
  that are decoded have the same values as without stopping. Not differentiable.

  Args:
    model: whose variables `step` uses.
    step: maps the model and the state after an object to the state after the next
      one, and to the prediction of that one slot.
    start: state before the first object, which is always decoded.
    active: slots that count.
    score: name in `Prediction.aux` of the logits whose first negative value ends a
      sequence.
  """
  b, o = active.shape
  states, first = step(model, start)
  slots = jax.tree.map(
    lambda x: jnp.pad(
      x, ((0, 0), (0, o - 1)) + ((0, 0),) * (x.ndim - 2), constant_values=NOTHING
    ),
    first,
  )

  def any_left(model: nn.Module, carry: Any) -> Any:
    del model
    slot, found, *_ = carry
    ahead = jnp.arange(o)[None] >= slot
    return (active & ahead & found[:, None]).any()

  def decode(model: nn.Module, carry: Any) -> Any:
    slot, found, states, slots = carry
    states, one = step(model, states)
    slots = jax.tree.map(
      lambda all_, x: jax.lax.dynamic_update_slice_in_dim(all_, x, slot, 1),
      slots,
      one,
    )
    return slot + 1, found & (one.aux[score][:, 0] >= 0), states, slots

  carry = jnp.int32(1), first.aux[score][:, 0] >= 0, states, slots
  return nn.while_loop(any_left, decode, model, carry)[-1]
