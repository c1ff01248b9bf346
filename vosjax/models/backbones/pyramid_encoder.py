"""Features of stride 8 from a frozen backbone, for finding objects (COSNet)."""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from vosjax.models.backbones.registry import build_backbone
from vosjax.models.backbones.stages import Stages
from vosjax.models.execution import Execution
from vosjax.models.modules import objectness
from vosjax.models.modules.conv import Conv
from vosjax.ops import resize
from vosjax.types import AnyArray

Map = Float[Array, "n h w c"]


class PyramidEncoder(nn.Module):
  """Features with context, and a saliency logit at each of their positions.

  They see the stages of strides 8, 16 and 32 in two ways: reduced to few channels, and
  as cues that need no training, see `modules/objectness.py`. There is no BatchNorm
  behind the backbone, so that a step may have one clip.

  Attributes:
    backbone: one of BACKBONES.
    width: 64 for its published channels; others are proportional to it.
    features: channels of the result.
    branch_features: channels to which the stages are reduced; 0: the cues alone.
    rates: dilations of the 3x3 convolutions.
    frozen: stages of the backbone that are not trained.
    execution: how the network is executed, see Execution.
  """

  backbone: str
  width: int
  features: int
  branch_features: int
  rates: tuple[int, ...]
  frozen: tuple[str, ...]
  execution: Execution = Execution()

  def setup(self):
    self.network = build_backbone(
      self.backbone,
      self.width,
      32,
      frozen=self.frozen,
      execution=self.execution,
      name="backbone",
    )
    he = nn.initializers.he_uniform()
    if self.branch_features:
      self.reduce = Conv(self.branch_features, 1, kernel_init=he)
    self.enter = Conv(self.features, 3, kernel_init=he)
    self.context = [
      Conv(self.features, 3, dilation=rate, kernel_init=he) for rate in self.rates
    ]
    self.join = Conv(self.features, 1, kernel_init=he)
    unsure = nn.initializers.normal(0.01)  # every logit is near 0 at first
    self.saliency_head = Conv(1, 1, kernel_init=unsure, dtype=jnp.float32)

  def stages(
    self, frames: Float[AnyArray, "n h w 3"], *, train: bool = False, steps: int = 1
  ) -> Stages:
    """Features of the backbone of RGB frames in [0, 1]."""
    return self.network(self.network.normalise(frames), train=train, steps=steps)

  def __call__(self, stages: Stages) -> Map:
    """Features with context at stride 8."""
    parts = [objectness.object_cues(levels_of(stages))]
    if self.branch_features:
      parts.append(nn.relu(self.reduce(_standardise(pyramid(stages)))))
    x = nn.relu(self.enter(jnp.concatenate(parts, axis=-1)))
    for layer in self.context:
      x = x + nn.relu(layer(x))
    pooled = jnp.broadcast_to(x.mean((1, 2), keepdims=True), x.shape)
    features = nn.relu(self.join(jnp.concatenate([x, pooled], axis=-1)))
    if self.is_initializing():  # so that its parameters are made, too
      self.saliency(features)
    return features

  def saliency(self, features: Map) -> Float[Array, "n h w"]:
    """Logit of a salient object at each position of the features."""
    return self.saliency_head(features)[..., 0]


def levels_of(stages: Stages) -> tuple[Float[Array, "n _ _ _"], ...]:
  """The stages of strides 8, 16 and 32."""
  return stages.stage2, stages.stage3, stages.stage4


def pyramid(stages: Stages) -> Map:
  """Stages of strides 8, 16 and 32 side by side, at stride 8."""
  size, levels = stages.stage2.shape[1:3], levels_of(stages)
  return jnp.concatenate(
    [resize.enlarge(x, 2**k, size) for k, x in enumerate(levels)], axis=-1
  )


def _standardise(x: Map) -> Map:
  """Each channel relative to its mean and deviation over the frame."""
  x = x.astype(jnp.float32)
  mean, deviation = x.mean((1, 2), keepdims=True), x.std((1, 2), keepdims=True)
  return (x - mean) / (deviation + 0.1)
