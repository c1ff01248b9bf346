"""Affinity of two frames' positions, and what each frame reads from the other.

A query at rows and columns `h w` and references at `i j`. The plain functions hold
the whole affinity, 52 MB for one pair at 473 x 473 pixels; `read` and its relatives
give the same numbers a few rows or one reference at a time.

Source: Lu et al., See More, Know More (COSNet), CVPR 2019, section 3.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

ROWS = 512  # positions of the query whose affinities are in memory together

Query = Float[Array, "b h w d"]  # features times the weight of the affinity
References = Float[Array, "b r i j d"]


def affinity(
  query: Query, reference: Float[Array, "b i j d"]
) -> Float[Array, "b h w i j"]:
  """Inner product of each position of the query with each of the reference."""
  return jnp.einsum(
    "bhwd,bijd->bhwij", query, reference, preferred_element_type=jnp.float32
  )


def read_reference(
  affinities: Float[Array, "b h w i j"], reference: Float[Array, "b i j c"]
) -> Float[Array, "b h w c"]:
  """For each position of the query, features of the reference that it attends to."""
  attention = jax.nn.softmax(affinities, axis=(3, 4))
  return jnp.einsum("bhwij,bijc->bhwc", attention.astype(reference.dtype), reference)


def read_query(
  affinities: Float[Array, "b h w i j"], query: Float[Array, "b h w c"]
) -> Float[Array, "b i j c"]:
  """For each position of the reference, features of the query that it attends to."""
  attention = jax.nn.softmax(affinities, axis=(1, 2))
  return jnp.einsum("bhwij,bhwc->bijc", attention.astype(query.dtype), query)


def read(
  query: Query, reference: Float[Array, "b i j d"], *, rows: int = ROWS
) -> Query:
  """`read_reference(affinity(query, reference), reference)`, in little memory."""
  return read_jointly(query, reference[:, None], rows=rows)


def read_jointly(query: Query, references: References, *, rows: int = ROWS) -> Query:
  """Reads from several references with one softmax over all their positions.

  Memory does not grow with the number of references: sums of exponentials are kept
  beside the largest affinity so far, and rescaled when a larger one comes.

  Args:
    query: features times weight.
    references: features, which are also what is read.
    rows: positions of the query at a time.
  """
  b, h, w, d = query.shape
  positions = query.reshape(b, h * w, d)

  def add(sums, reference):
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


def _sum_exponentials(positions, memory, rows):
  """For each position: weighted sum of the memory, sum of weights, their exponent."""

  def one(x):
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
  """What the released group model reads: a softmax of a softmax.

  The affinity is first normalised over the query, and the result, numbers of about
  one over its positions, once more over all references: nearly their plain mean. No
  more than one reference's affinity is held at a time.
  """

  def add(sums, reference):
    total, weight = sums
    scores = affinity(query, reference)
    # At most e: no maximum needs to be subtracted.
    scores = jnp.exp(jax.nn.softmax(scores, axis=(1, 2)))
    total += jnp.einsum("bhwij,bijc->bhwc", scores.astype(reference.dtype), reference)
    return (total, weight + scores.sum((3, 4))), None

  sums = jnp.zeros(query.shape), jnp.zeros(query.shape[:3])
  (total, weight), _ = jax.lax.scan(add, sums, jnp.moveaxis(references, 1, 0))
  return (total / weight[..., None]).astype(references.dtype)
