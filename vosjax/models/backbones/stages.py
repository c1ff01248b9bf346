"""What all backbones return, and how their stages are frozen."""

from collections.abc import Collection

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from vosjax.ops import resize
from vosjax.types import record

STAGES = ("stem", "stage1", "stage2", "stage3", "stage4")


@record
class Stages:
  """Features of each stage of a backbone, from fine to coarse.

  `stem` has stride 2, `stage1` 4 and `stage2` 8; the strides of `stage3` and `stage4`
  depend on the output stride.
  """

  stem: Float[Array, "n h2 w2 c0"]
  stage1: Float[Array, "n h4 w4 c1"]
  stage2: Float[Array, "n h8 w8 c2"]
  stage3: Float[Array, "n h16 w16 c3"]
  stage4: Float[Array, "n h32 w32 c4"]


def join_stages(stages: Stages) -> Float[Array, "n h8 w8 c"]:
  """The last three stages side by side at stride 8, from a backbone of stride 32."""
  _, h, w, _ = stages.stage2.shape
  deeper = (
    resize.enlarge(stages.stage3, 2, (h, w)),
    resize.enlarge(stages.stage4, 4, (h, w)),
  )
  return jnp.concatenate([stages.stage2, *deeper], axis=-1)


def stop_gradient(x: Array, stage: str, frozen: Collection[str]) -> Array:
  """Stops the gradient after a stage if nothing up to it is trained."""
  upto = STAGES[: STAGES.index(stage) + 1]
  return jax.lax.stop_gradient(x) if set(upto) <= set(frozen) else x


def check_fields(
  variant: str, known: Collection[str], output_stride: int, frozen: Collection[str]
) -> None:
  """Raises a ValueError if a field of a backbone has an impossible value."""
  if variant not in known:
    raise ValueError(f"backbone {variant!r} is unknown; known: {list(known)}.")
  if output_stride not in (8, 16, 32):
    raise ValueError(f"output_stride is {output_stride}; expected 8, 16 or 32.")
  unknown = sorted(set(frozen) - set(STAGES))
  if unknown:
    raise ValueError(f"frozen stages {unknown} are unknown; known: {list(STAGES)}.")
