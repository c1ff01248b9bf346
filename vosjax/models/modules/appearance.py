"""The generative appearance model of A-GAME."""

from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from vosjax.ops.gaussians import Gaussians, log_likelihood, weighted_moments
from vosjax.types import record


@record
class AppearanceState:
  """Running Gaussians of each object: background, object, and their residuals."""

  gaussians: Gaussians


# A component of less weight than this, in positions, has not been seen.
_UNSEEN = 1e-4


class AppearanceModel(nn.Module):
  """A mixture of Gaussians per object, fitted in closed form.

  Component 0 is the background and 1 the object. Components 2 and 3 model the
  positions that these two get wrong.

  Attributes:
    features: channels of the features that are given.
    residual: have components 2 and 3.
    fit_variance: estimate variances; otherwise they are the learnt floor alone.
    update_rate: share of the new fit in every update (lambda).
    reading: "release" follows the published code. "paper" follows the equations:
      binary masks at the start, averages without a pseudo-count, component 2 for
      background taken for the object and 3 for the reverse, and their posteriors
      from the running Gaussians instead of this frame's. A component that no
      position has a share in, of which the equations say nothing, is not updated.

  Source: Johnander et al., CVPR 2019, section 3.2.
  """

  features: int
  residual: bool = True
  fit_variance: bool = True
  update_rate: float = 0.1
  reading: Literal["release", "paper"] = "release"

  def setup(self):
    shape = (self.num_components, self.features)
    self.raw_floor = self.param("raw_floor", nn.initializers.constant(-2.0), shape)

  @property
  def num_components(self) -> int:
    return 4 if self.residual else 2

  def fit(
    self, x: Float[Array, "b h w c"], masks: Float[Array, "b o h w"]
  ) -> AppearanceState:
    """Fits all components to one frame and its soft masks."""
    if self.reading == "paper":
      masks = (masks > 0.5).astype(masks.dtype)
    x, weights = self._flatten(x, masks)
    return AppearanceState(self._fit(x, weights, None))

  def scores(
    self, state: AppearanceState, x: Float[Array, "b h w c"]
  ) -> Float[Array, "b o h w k"]:
    """Log-likelihood of every position under every component."""
    b, h, w, c = x.shape
    likelihood = log_likelihood(
      x.reshape(b, h * w, c).astype(jnp.float32), state.gaussians
    )
    return jnp.moveaxis(likelihood, 2, 3).reshape(b, -1, h, w, self.num_components)

  def update(
    self,
    state: AppearanceState,
    x: Float[Array, "b h w c"],
    masks: Float[Array, "b o h w"],
  ) -> AppearanceState:
    """Moves the running Gaussians towards a fit to this frame."""
    x, weights = self._flatten(x, masks)
    fresh = self._fit(x, weights, state.gaussians)
    return AppearanceState(self._blend(state.gaussians, fresh))

  def _flatten(self, x, masks):
    b, h, w, c = x.shape
    masks = masks.reshape(b, -1, 1, h * w).astype(jnp.float32)
    weights = jnp.concatenate([1 - masks, masks], axis=2)
    return x.reshape(b, h * w, c).astype(jnp.float32), weights

  def _fit(self, x, weights, running):
    base = self._moments(x, weights, slice(0, 2), running)
    if not self.residual:
      return base
    paper = self.reading == "paper"
    judge = base
    if paper and running is not None:
      judge = self._blend(jax.tree.map(lambda old: old[:, :, :2], running), base)
    posterior = jax.nn.softmax(log_likelihood(x, judge), axis=2)
    excess = weights - posterior if paper else posterior - weights
    residual = self._moments(x, nn.relu(excess), slice(2, 4), running)
    return jax.tree.map(lambda *parts: jnp.concatenate(parts, 2), base, residual)

  def _blend(self, old, new):
    rate = self.update_rate
    return jax.tree.map(lambda a, b: (1 - rate) * a + rate * b, old, new)

  def _moments(self, x, weights, components, running):
    floor = nn.softplus(self.raw_floor[components])[None, None]
    # Without a pseudo-count an absent component would divide by zero.
    paper = self.reading == "paper"
    moments = weighted_moments(x, weights, 1e-6 if paper else 1.0)
    variances = moments.variances + floor
    if not self.fit_variance:
      variances = jnp.broadcast_to(floor, variances.shape)
    moments = moments.replace(variances=variances)
    if not paper or running is None:
      return moments
    seen = weights.sum(-1, keepdims=True) > _UNSEEN
    return jax.tree.map(
      lambda new, old: jnp.where(seen, new, old[:, :, components]), moments, running
    )
