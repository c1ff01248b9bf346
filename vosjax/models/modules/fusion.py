"""Fusion of appearance scores, propagated masks and matching cues (A-GAME)."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from vosjax.models.execution import Dtype
from vosjax.models.modules.conv import Conv, SplitConv


class Fusion(nn.Module):
  """Two convolutions over scores, propagated features and matching cues.

  Attributes:
    num_scores: appearance scores per position; 0 without an appearance model.
    propagation_features: channels of mask propagation; 0 without it.
    hidden: channels between the two convolutions.
    features: channels of the result.
    num_cues: matching cues per position; 0 without matching, as in the paper.
    score_gain: factor on the initial kernel of the scores.
    cue_gain: the same for the cues, which are few and have a small range.
    kernel_init: initialiser of both kernels.
    dtype: of the convolutions.

  Source: Johnander et al., CVPR 2019, section 3.4.
  """

  num_scores: int
  propagation_features: int
  hidden: int = 512
  features: int = 128
  num_cues: int = 0
  score_gain: float = 1.0
  cue_gain: float = 4.0
  kernel_init: Callable[..., Any] = nn.initializers.he_uniform()
  dtype: Dtype = None

  def setup(self):
    parts = (self.num_scores, self.propagation_features, self.num_cues)
    gains = (self.score_gain, 1.0, self.cue_gain)
    init = {"kernel_init": self.kernel_init, "dtype": self.dtype}
    self.join = SplitConv(parts, self.hidden, 3, gains, **init)
    self.out = Conv(self.features, 3, **init)

  def __call__(
    self,
    scores: Float[Array, "n h w k"] | None,
    propagated: Float[Array, "n h w d"] | None,
    cues: Float[Array, "n h w 5"] | None = None,
  ) -> Float[Array, "n h w c"]:
    """Fuses the evidence for an object; None for an input that the model lacks."""
    # Scores come from sums over hundreds of channels: 16 bits are too coarse.
    first = None if scores is None else self.join(scores, 0, dtype=jnp.float32)
    if propagated is None:
      x = first + self.join.bias[None, None, None]
    else:
      x = self.join(propagated, 1, bias=True)
      x = x if first is None else x + first.astype(x.dtype)
    if cues is not None:
      x = x + self.join(cues, 2).astype(x.dtype)
    return nn.relu(self.out(nn.relu(x)))
