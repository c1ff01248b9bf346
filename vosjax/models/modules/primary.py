"""Finds the primary object of a frame from cues that need no training.

An addition of this package, not part of any of the papers. What frozen features look
like differs between drawn and filmed videos, but what sets an object apart does not:
so the trained layers see cues alone (see `objectness.py` and `motion.py`), and no
features. They decide three times, and each time know more: from the cues; from how the
object of the first decision and its background look; and, at stride 4, from how both
look nearby.
"""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from vosjax.models.modules import motion, objectness
from vosjax.models.modules.conv import Conv
from vosjax.ops import resize
from vosjax.types import record

Map = Float[Array, "b h w c"]
_FINE_RATES = (1,)


@record
class Cues:
  """What is known of a frame without any training; all but `fine` at stride 8.

  Attributes:
    objectness: see `objectness.object_cues`.
    keys: directions of the features.
    motion_keys: what is found again in later frames; None without the motion cue.
    fine: features of stride 4, each relative to its mean over the frame.
  """

  objectness: Float[Array, "b h w 9"]
  keys: Float[Array, "b h w d"]
  motion_keys: Float[Array, "b h w m"] | None
  fine: Float[Array, "b h4 w4 c"]


@record
class PrimaryLogits:
  """Logits of the primary object, ever better informed.

  Attributes:
    coarse: from the cues, at stride 8.
    final: from the looks of the object and its background as well.
    fine: from their looks nearby as well, at stride 4.
  """

  coarse: Float[Array, "b h w"]
  final: Float[Array, "b h w"]
  fine: Float[Array, "b h4 w4"]


def make_cues(fine: Map, levels: objectness.Levels, *, with_motion: bool) -> Cues:
  """Cues of frames, from features of stride 4 and of strides 8, 16 and 32."""
  return Cues(
    objectness.object_cues(levels),
    objectness.make_keys(levels),
    motion.make_keys(*levels[:2]) if with_motion else None,
    objectness.standardise(fine.astype(jnp.float32)),
  )


class CueHead(nn.Module):
  """Logit at each position, from cues in their context and in the whole frame.

  Attributes:
    features: channels of its layers.
    rates: dilations of its 3x3 convolutions.
  """

  features: int
  rates: tuple[int, ...]

  @nn.compact
  def __call__(self, *parts: Float[Array, "b h w _"]) -> Float[Array, "b h w"]:
    he = nn.initializers.he_uniform()
    x = jnp.concatenate(parts, axis=-1)
    x = nn.relu(Conv(self.features, 3, kernel_init=he, name="enter")(x))
    for k, rate in enumerate(self.rates):
      layer = Conv(self.features, 3, dilation=rate, kernel_init=he, name=f"context{k}")
      x = x + nn.relu(layer(x))
    everywhere = jnp.broadcast_to(x.mean((1, 2), keepdims=True), x.shape)
    x = jnp.concatenate([x, everywhere], axis=-1)
    x = nn.relu(Conv(self.features, 1, kernel_init=he, name="join")(x))
    unsure = nn.initializers.normal(0.01)  # every logit is near 0 at first
    return Conv(1, 1, kernel_init=unsure, dtype=jnp.float32, name="out")(x)[..., 0]


class PrimaryObject(nn.Module):
  """The primary object of a frame.

  Attributes:
    features: channels of the heads; that of stride 4 has half as many.
    rates: dilations of their 3x3 convolutions at stride 8.
  """

  features: int
  rates: tuple[int, ...]

  def setup(self):
    self.coarse_head = CueHead(self.features, self.rates)
    self.final_head = CueHead(self.features, self.rates)
    self.fine_head = CueHead(self.features // 2, _FINE_RATES)

  def __call__(
    self, cues: Cues, earlier: Sequence[Float[Array, "b h w m"]]
  ) -> PrimaryLogits:
    """Logits of a frame; `earlier` has the motion keys of earlier frames."""
    seen = [cues.objectness]
    if cues.motion_keys is not None:
      seen += [motion.motion_cues(cues.motion_keys, keys) for keys in earlier]
    return self.decide(jnp.concatenate(seen, axis=-1), cues.keys, cues.fine)

  def decide(
    self,
    seen: Float[Array, "b h w _"],
    keys: Float[Array, "b h w d"],
    fine: Float[Array, "b h4 w4 c"],
  ) -> PrimaryLogits:
    """Logits of a frame; `seen` has all cues of stride 8, for the others see Cues."""
    coarse = self.coarse_head(seen)
    # The means of object and background are data, and not what is trained.
    found = jax.lax.stop_gradient(coarse)
    contrast = objectness.contrast(keys, found)
    final = coarse + contrast
    final = final + self.final_head(seen, coarse[..., None], contrast[..., None])
    _, h, w, _ = fine.shape
    enlarged = resize.bilinear(final[..., None], (h, w))[..., 0]
    nearby = objectness.nearby_contrast(fine, jax.lax.stop_gradient(enlarged))
    sharp = enlarged + nearby
    sharp = sharp + self.fine_head(enlarged[..., None], nearby[..., None])
    return PrimaryLogits(coarse, final, sharp)
