"""The loss of RVOS over a clip."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from vosjax import losses
from vosjax.types import AnyArray


def clip_losses(
  probs: Float[AnyArray, "b t o h w"],
  truth: Float[AnyArray, "b t g h w"],
  valid: Bool[AnyArray, "b t g"],
  *,
  matched: bool,
) -> tuple[Float[Array, " t"], Int[Array, "b o"]]:
  """Loss of each frame, and the object assigned to each slot.

  Args:
    probs: of the slots.
    truth: masks of the objects.
    valid: which objects count in which frames; slot i counts where object i does.
    matched: slots are matched to objects in the first frame, for the whole clip
      (zero-shot); otherwise slot i is assigned object i.
  """
  b, _, o = probs.shape[:3]
  if matched:
    cost = losses.soft_iou_cost(probs[:, 0], truth[:, 0])
    objects = losses.match(losses.mask_padding(cost, valid[:, 0]))
  else:
    objects = jnp.broadcast_to(jnp.arange(o, dtype=jnp.int32)[None], (b, o))
  ordered = losses.reorder(jnp.swapaxes(truth, 1, 2), objects)
  values = losses.soft_iou_loss(jnp.swapaxes(probs, 1, 2), ordered)
  counted = jax.vmap(losses.valid_slots, in_axes=(1, None), out_axes=2)(valid, o)
  return jax.vmap(losses.mean_over, in_axes=(2, 2))(values, counted), objects
