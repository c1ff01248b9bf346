"""How appearance scores reach the fusion: plain, relative or as probabilities."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vosjax.models import build, unroll

FIELDS = {
  "backbone": "resnet18",
  "width": 4,
  "features": 8,
  "fusion_features": 4,
  "frozen_stages": (),
}


@pytest.fixture(scope="module")
def segment():
  """The logits of a network with the given fields; all have the same variables."""
  rng = np.random.default_rng(0)
  frames = jnp.asarray(rng.random((1, 3, 32, 48, 3)), jnp.float32)
  masks = jnp.zeros((1, 1, 32, 48)).at[:, :, 8:24, 16:32].set(1.0)
  variables = build("agame", **FIELDS).init(jax.random.key(0), frames[:, 0], masks)

  def run(change=None, **fields):
    """`change` is applied to the fusion's kernel of the scores."""
    changed = jax.tree.map(lambda x: x, variables)
    join = changed["params"]["fusion"]["join"]
    if change is not None:
      kernel = join["kernel"]
      join["kernel"] = kernel.at[:, :, :4].set(change(kernel[:, :, :4]))
    model = build("agame", **FIELDS, **fields)
    return np.asarray(unroll(model, changed, frames, masks).predictions.logits)

  return run


def test_relative_scores_are_those_of_another_kernel(segment):
  def change(kernel):
    return (kernel - kernel.mean(2, keepdims=True)) / np.sqrt(FIELDS["features"])

  found = segment(relative_scores=True)
  np.testing.assert_allclose(found, segment(change), rtol=1e-3, atol=1e-4)
  assert not np.allclose(found, segment(), atol=0.1)


def test_probabilities_stay_as_they_are(segment):
  found = segment(softmax_scores=True, relative_scores=True)
  np.testing.assert_array_equal(found, segment(softmax_scores=True))
  assert not np.allclose(found, segment(), atol=0.1)
