"""Co-attention: what each position of a frame reads from other frames (COSNet)."""

from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from vosjax.ops import affinity

Form = Literal["vanilla", "symmetric", "channelwise"]
Map = Float[Array, "b h w c"]


class CoAttention(nn.Module):
  """Summaries of references at each position of a query, gated.

  Attributes:
    features: channels of the frames' features.
    form: of the weight W of the affinity. "vanilla": any matrix, as released;
      "symmetric": P^T diag(d) P, where `losses.orthogonality_penalty` keeps P
      orthogonal; "channelwise": diag(d).
    gated: weight each position of a summary by a score of its own.

  Source: Lu et al., CVPR 2019, equations 2 to 9; the gate has no bias, as released.
  """

  features: int
  form: Form | str = "vanilla"
  gated: bool = True

  def setup(self):
    c = self.features
    if self.form == "vanilla":
      uniform = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")
      self.kernel = self.param("kernel", uniform, (c, c))
    elif self.form == "symmetric":
      self.basis = self.param("basis", nn.initializers.orthogonal(), (c, c))
    elif self.form != "channelwise":
      raise ValueError(
        f"co-attention form {self.form!r} is unknown; known: 'vanilla', "
        "'symmetric', 'channelwise'."
      )
    if self.form != "vanilla":
      # Small, so that the affinities of random features vary little.
      self.scale = self.param("scale", nn.initializers.constant(c**-0.5), (c,))
    if self.gated:
      self.gate_kernel = self.param("gate", nn.initializers.normal(0.01), (c,))

  def project(self, query: Map) -> Map:
    """Features of the query times W; affinities are inner products with the result."""
    if self.form == "channelwise":
      return query * self.scale.astype(query.dtype)[None, None, None]
    if self.form == "symmetric":
      weight = jnp.einsum("dc,d,de->ce", self.basis, self.scale, self.basis)
    else:
      weight = self.kernel
    return jnp.einsum("bhwc,cd->bhwd", query, weight.astype(query.dtype))

  def gate(self, summary: Map) -> Map:
    """The summary, weighted at each position by the sigmoid of its own score."""
    if not self.gated:
      return summary
    score = jnp.einsum(
      "bhwc,c->bhw", summary, self.gate_kernel, preferred_element_type=jnp.float32
    )
    return summary * jax.nn.sigmoid(score)[..., None].astype(summary.dtype)

  def pair(
    self, query: Map, reference: Float[Array, "b i j c"]
  ) -> tuple[Map, Float[Array, "b i j c"]]:
    """Ungated summaries: of the reference for the query, and vice versa."""
    scores = affinity.affinity(self.project(query), reference)
    return (
      affinity.read_reference(scores, reference),
      affinity.read_query(scores, query),
    )

  def read_each(
    self, query: Map, references: Float[Array, "b r h w c"]
  ) -> Float[Array, "b r h w c"]:
    """Gated summary of each reference on its own, for the query."""
    query = self.project(query)
    gate = self.gate
    summaries = jax.lax.map(
      lambda reference: gate(affinity.read(query, reference)),
      jnp.moveaxis(references, 1, 0),
    )
    return jnp.moveaxis(summaries, 0, 1)

  def read_mean(self, query: Map, references: Float[Array, "b r h w c"]) -> Map:
    """Mean of the gated summaries over references (attention summary fusion)."""
    query = self.project(query)

    def add(total: Map, reference: Map) -> tuple[Map, None]:
      return total + self.gate(affinity.read(query, reference)), None

    total, _ = jax.lax.scan(add, jnp.zeros_like(query), jnp.moveaxis(references, 1, 0))
    return total / references.shape[1]

  def read_jointly(
    self, query: Map, references: Float[Array, "b r h w c"], *, twice: bool = False
  ) -> Map:
    """Gated summary of all references together.

    Args:
      query: features of the frame.
      references: features of the references.
      twice: normalise the affinities twice, as the released group model does.
    """
    read = affinity.read_twice_normalised if twice else affinity.read_jointly
    return self.gate(read(self.project(query), references))
