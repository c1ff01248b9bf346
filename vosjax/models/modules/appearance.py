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
  """Running Gaussians of each object: background, object and their residuals."""

  gaussians: Gaussians


# A component with less weight than this, in positions, counts as absent.
_ABSENT = 1e-4


class AppearanceModel(nn.Module):
  """A mixture of Gaussians per object, fitted in closed form.

  Component 0 is the background and 1 the object. Components 2 and 3 model the
  positions that these two get wrong.

  Attributes:
    features: channels of the input features.
    residual: use components 2 and 3.
    fit_variance: estimate variances; otherwise they are the learnt floor.
    update_rate: weight of the new fit in every update (lambda).
    reading: which interpretation: "release" follows the published code. "paper"
      follows the equations: binary masks at the start, averages without a
      pseudo-count, component 2 for background that is mistaken for the object and 3
      for the reverse, and posteriors under the running Gaussians instead of those of
      the current frame. A component without any position, about which the equations
      say nothing, is not updated.

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
    """Log-likelihood of each position under each component."""
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
    """Moves the running Gaussians towards those of this frame."""
    x, weights = self._flatten(x, masks)
    fresh = self._fit(x, weights, state.gaussians)
    return AppearanceState(self._blend(state.gaussians, fresh))

  def _flatten(
    self, x: Float[Array, "b h w c"], masks: Float[Array, "b o h w"]
  ) -> tuple[Float[Array, "b p c"], Float[Array, "b o 2 p"]]:
    """Features at positions `p`, and the weights of background and object there."""
    b, h, w, c = x.shape
    masks = masks.reshape(b, -1, 1, h * w).astype(jnp.float32)
    weights = jnp.concatenate([1 - masks, masks], axis=2)
    return x.reshape(b, h * w, c).astype(jnp.float32), weights

  def _fit(
    self,
    x: Float[Array, "b p c"],
    weights: Float[Array, "b o 2 p"],
    running: Gaussians | None,
  ) -> Gaussians:
    """All components of one frame; `running` are those before it, if any."""
    base = self._moments(x, weights, slice(0, 2), running)
    if not self.residual:
      return base
    paper = self.reading == "paper"
    gaussians = base
    if paper and running is not None:
      gaussians = self._blend(jax.tree.map(lambda old: old[:, :, :2], running), base)
    posterior = jax.nn.softmax(log_likelihood(x, gaussians), axis=2)
    excess = weights - posterior if paper else posterior - weights
    residual = self._moments(x, nn.relu(excess), slice(2, 4), running)
    return jax.tree.map(lambda *parts: jnp.concatenate(parts, 2), base, residual)

  def _blend(self, old: Gaussians, new: Gaussians) -> Gaussians:
    rate = self.update_rate
    return jax.tree.map(lambda a, b: (1 - rate) * a + rate * b, old, new)

  def _moments(
    self,
    x: Float[Array, "b p c"],
    weights: Float[Array, "b o 2 p"],
    components: slice,
    running: Gaussians | None,
  ) -> Gaussians:
    """Two of the components, fitted with the given weights."""
    floor = nn.softplus(self.raw_floor[components])[None, None]
    paper = self.reading == "paper"
    # The paper's averages have no pseudo-count. Not quite 0, or an absent component
    # would be divided by zero.
    moments = weighted_moments(x, weights, 1e-6 if paper else 1.0)
    variances = moments.variances + floor
    if not self.fit_variance:
      variances = jnp.broadcast_to(floor, variances.shape)
    moments = Gaussians(moments.means, variances)
    if not paper or running is None:
      return moments
    present = weights.sum(-1, keepdims=True) > _ABSENT
    return jax.tree.map(
      lambda new, old: jnp.where(present, new, old[:, :, components]), moments, running
    )
