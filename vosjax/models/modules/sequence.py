"""Objects one after another, for as long as there are any (RSIS and RIS)."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from vosjax.types import Active, Prediction

NOTHING = -100.0  # as a logit: no pixel, no object


def decode_until_stop(
  model: nn.Module,
  step: Callable[[nn.Module, Any], tuple[Any, Prediction]],
  start: Any,
  active: Active,
  score: str,
) -> Prediction:
  """Predictions of all slots, of which those behind the last object hold NOTHING.

  A loop whose length the scores decide: nothing is compiled anew, and what is decoded
  has the same numbers as without an end. It has no gradient.

  Args:
    model: whose variables `step` uses.
    step: from the state that an object leaves to that of the next one, and the
      prediction of this one slot.
    start: state before the first object, which is decoded in any case.
    active: slots that may count.
    score: name in `Prediction.aux` of logits; the first negative one ends a sequence.
  """
  b, o = active.shape
  states, first = step(model, start)
  slots = jax.tree.map(
    lambda x: jnp.pad(
      x, ((0, 0), (0, o - 1)) + ((0, 0),) * (x.ndim - 2), constant_values=NOTHING
    ),
    first,
  )

  def goes_on(model, carry):
    del model
    place, found, *_ = carry
    ahead = jnp.arange(o)[None] >= place
    return (active & ahead & found[:, None]).any()

  def decode(model, carry):
    place, found, states, slots = carry
    states, one = step(model, states)
    slots = jax.tree.map(
      lambda all_, x: jax.lax.dynamic_update_slice_in_dim(all_, x, place, 1),
      slots,
      one,
    )
    return place + 1, found & (one.aux[score][:, 0] >= 0), states, slots

  begun = jnp.int32(1), first.aux[score][:, 0] >= 0, states, slots
  return nn.while_loop(goes_on, decode, model, begun)[-1]
