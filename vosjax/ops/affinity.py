"""Affinity between the positions of two frames, and the attention that it defines.

The query has rows and columns `h w`, references have `i j`. The plain functions hold
the whole affinity, 52 MB for one pair at 473 x 473 pixels; `read` and its variants
compute the same a few positions or one reference at a time.

Source: Lu et al., See More, Know More (COSNet), CVPR 2019, section 3.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

ROWS = 512  # positions of the query whose affinities are in memory at once

Query = Float[Array, "b h w d"]  # features times the weight matrix of the affinity
References = Float[Array, "b r i j d"]


def affinity(
  query: Query, reference: Float[Array, "b i j d"]
) -> Float[Array, "b h w i j"]:
  """Inner product of each position of the query and each of the reference."""
  return jnp.einsum(
    "bhwd,bijd->bhwij", query, reference, preferred_element_type=jnp.float32
  )


def read_reference(
  affinities: Float[Array, "b h w i j"], reference: Float[Array, "b i j c"]
) -> Float[Array, "b h w c"]:
  """Features of the reference to which each position of the query attends."""
  attention = jax.nn.softmax(affinities, axis=(3, 4))
  return jnp.einsum("bhwij,bijc->bhwc", attention.astype(reference.dtype), reference)


def read_query(
  affinities: Float[Array, "b h w i j"], query: Float[Array, "b h w c"]
) -> Float[Array, "b i j c"]:
  """Features of the query to which each position of the reference attends."""
  attention = jax.nn.softmax(affinities, axis=(1, 2))
  return jnp.einsum("bhwij,bhwc->bijc", attention.astype(query.dtype), query)


def read(
  query: Query, reference: Float[Array, "b i j d"], *, rows: int = ROWS
) -> Query:
  """`read_reference(affinity(query, reference), reference)` in little memory."""
  return read_jointly(query, reference[:, None], rows=rows)


def read_jointly(query: Query, references: References, *, rows: int = ROWS) -> Query:
  """Reads from several references with one softmax over all their positions.

  Memory does not grow with the number of references: the sums of exponentials are
  relative to the largest affinity so far, and rescaled when a larger one appears.

  Args:
    query: features of the frame times the weight matrix.
    references: features of the references.
    rows: positions of the query that are computed at once.
  """
  b, h, w, d = query.shape
  positions = query.reshape(b, h * w, d)

  def add(
    sums: tuple[Array, Array, Array], reference: Array
  ) -> tuple[tuple[Array, Array, Array], None]:
    total, weight, peak = sums
    new_total, new_weight, new_peak = jax.vmap(_sum_exponentials, (0, 0, None))(
      positions, reference.reshape(b, -1, d), rows
    )
    top = jnp.maximum(peak, new_peak)
    old, new = jnp.exp(peak - top), jnp.exp(new_peak - top)
    total = total * old[..., None] + new_total * new[..., None]
    return (total, weight * old + new_weight * new, top), None

  zeros = jnp.zeros((b, h * w))
  sums = jnp.zeros(positions.shape), zeros, zeros - jnp.inf
  (total, weight, _), _ = jax.lax.scan(add, sums, jnp.moveaxis(references, 1, 0))
  return (total / weight[..., None]).reshape(query.shape).astype(references.dtype)


def _sum_exponentials(
  positions: Float[Array, "n d"], memory: Float[Array, "m d"], rows: int
) -> tuple[Float[Array, "n d"], Float[Array, " n"], Float[Array, " n"]]:
  """Numerator and denominator of the attention, and the largest score.

  Both are relative to the exponential of that score.
  """

  def one(x: Array) -> tuple[Array, Array, Array]:
    scores = jnp.einsum("d,md->m", x, memory, preferred_element_type=jnp.float32)
    peak = jax.lax.stop_gradient(scores.max())
    weights = jnp.exp(scores - peak)
    total = jnp.einsum(
      "m,md->d",
      weights.astype(memory.dtype),
      memory,
      preferred_element_type=jnp.float32,
    )
    return total, weights.sum(), peak

  return jax.lax.map(one, positions, batch_size=rows)


def read_twice_normalised(query: Query, references: References) -> Query:
  """Reads like the released group model, with a softmax of a softmax.

  The affinity is normalised over the positions of the query, and the result, whose
  values are near 1 / (h w), again over all positions of all references. That is nearly
  their plain mean. Only one reference's affinity is in memory at a time.
  """

  def add(
    sums: tuple[Array, Array], reference: Array
  ) -> tuple[tuple[Array, Array], None]:
    total, weight = sums
    scores = affinity(query, reference)
    # These are at most e, so no maximum needs to be subtracted.
    scores = jnp.exp(jax.nn.softmax(scores, axis=(1, 2)))
    total += jnp.einsum("bhwij,bijc->bhwc", scores.astype(reference.dtype), reference)
    return (total, weight + scores.sum((3, 4))), None

  sums = jnp.zeros(query.shape), jnp.zeros(query.shape[:3])
  (total, weight), _ = jax.lax.scan(add, sums, jnp.moveaxis(references, 1, 0))
  return (total / weight[..., None]).astype(references.dtype)
