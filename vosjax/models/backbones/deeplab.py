"""DeepLabv3: features of stride 8 from a backbone, pyramid pooling and a saliency head.

Source: Chen et al., Rethinking Atrous Convolution for Semantic Image Segmentation,
2017, as COSNet's release uses it.
"""

import functools

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from vosjax.models.backbones import resnet
from vosjax.models.backbones.registry import build_backbone
from vosjax.models.backbones.stages import join_stages
from vosjax.models.execution import Execution
from vosjax.models.modules.conv import Conv
from vosjax.models.modules.norm import ConvNorm
from vosjax.types import AnyArray

STRIDE = 8


class PyramidPooling(nn.Module):
  """Atrous spatial pyramid pooling: context at several scales, then one 3x3.

  Attributes:
    features: channels of the result.
    branch_features: channels of each branch.
    rates: dilations of the 3x3 branches.
    execution: how the network is executed, see Execution.
  """

  features: int = 256
  branch_features: int = 512
  rates: tuple[int, ...] = (6, 12, 18)
  execution: Execution = Execution()

  def setup(self):
    unit = functools.partial(ConvNorm, use_bias=True, execution=self.execution)
    self.pooled = unit(self.branch_features, 1)
    self.pointwise = unit(self.branch_features, 1)
    self.atrous = [unit(self.branch_features, 3, dilation=r) for r in self.rates]
    self.join = unit(self.features, 3)
    self.activation = nn.PReLU(negative_slope_init=0.25)

  def __call__(
    self, x: Float[Array, "n h w c"], *, train: bool = False, steps: int = 1
  ) -> Float[Array, "n h w d"]:
    """Features with context; the PReLU lets negative values pass."""
    pooled, *rest = self.branches(x, train=train, steps=steps)
    pooled = jnp.broadcast_to(pooled, (*x.shape[:3], pooled.shape[-1]))
    x = jnp.concatenate([pooled, *rest], axis=-1)
    return self.activation(self.join(x, train=train, steps=steps))

  def branches(
    self, x: Float[Array, "n h w c"], *, train: bool = False, steps: int = 1
  ) -> list[Float[Array, "n _ _ d"]]:
    """The 1 x 1 pooled branch, then the others in the order of concatenation."""
    pooled = x.mean((1, 2), keepdims=True)
    inputs = [pooled] + [x] * (1 + len(self.rates))
    units = [self.pooled, self.pointwise, *self.atrous]
    return [nn.relu(f(y, train=train, steps=steps)) for f, y in zip(units, inputs)]


class DeepLab(nn.Module):
  """Features of stride 8, and a saliency logit at each of their positions.

  Attributes:
    backbone: one of BACKBONES.
    width: 64 for its published channels; others are proportional to it.
    features: channels of the result.
    branch_features: channels of each branch of the pyramid pooling.
    rates: dilations of its 3x3 branches.
    dilated: the backbone has a stride of 8, with dilation in place of later strides, as
      published. Otherwise its last three stages, of strides 8, 16 and 32, are joined.
    frozen_stages: stages of the backbone that are not trained.
    execution: how the network is executed, see Execution.
  """

  backbone: str = "resnet101"
  width: int = 64
  features: int = 256
  branch_features: int = 512
  rates: tuple[int, ...] = (6, 12, 18)
  dilated: bool = True
  frozen_stages: tuple[str, ...] = ()
  execution: Execution = Execution()

  def setup(self):
    self.network = build_backbone(
      self.backbone,
      self.width,
      STRIDE if self.dilated else 32,
      lineage="caffe",
      frozen=self.frozen_stages,
      execution=self.execution,
      name="resnet" if self.backbone in resnet.BLOCKS else "efficientnet",
    )
    self.pyramid = PyramidPooling(
      self.features, self.branch_features, self.rates, self.execution
    )
    self.saliency_head = Conv(1, 1, dtype=jnp.float32)

  def __call__(
    self, frames: Float[AnyArray, "n h w 3"], *, train: bool = False, steps: int = 1
  ) -> Float[Array, "n height width c"]:
    """Features of RGB frames in [0, 1]; each side is divided by 8, rounding up."""
    x = self.network.normalise(frames)
    stages = self.network(x, train=train, steps=steps)
    x = stages.stage4 if self.dilated else join_stages(stages)
    features = self.pyramid(x, train=train, steps=steps)
    if self.is_initializing():  # so that its parameters are made, too
      self.saliency(features)
    return features

  def saliency(self, features: Float[Array, "n h w c"]) -> Float[Array, "n h w"]:
    """Logit of a salient object at each position of the features."""
    return self.saliency_head(features)[..., 0]
