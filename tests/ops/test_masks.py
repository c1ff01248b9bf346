"""Soft aggregation against the official program."""

import jax.numpy as jnp
import numpy as np
import pytest

from vosjax.ops.masks import soft_aggregate


def logit(probs):
  with np.errstate(divide="ignore"):
    return jnp.asarray(np.log(probs) - np.log1p(-probs))


@pytest.mark.parametrize("count", [1, 2, 3])
def test_equals_the_official_aggregation(golden, count):
  case = golden("agame/golden_modules.npz")
  probs = case[f"agg{count}_prob"][:, 0][None]
  out = soft_aggregate(logit(probs), jnp.ones((1, count), bool))
  np.testing.assert_allclose(out[0, 1:], case[f"agg{count}_out"][:, 0], atol=2e-6)
  ids = np.array([0, *case[f"agg{count}_ids"]])
  labels = ids[np.asarray(out[0].argmax(0))]
  np.testing.assert_array_equal(labels, case[f"agg{count}_label"])


def test_inactive_slots_change_no_probability():
  logits = jnp.asarray(np.random.default_rng(0).normal(size=(1, 3, 4, 5)), jnp.float32)
  active = jnp.array([[True, False, True]])
  out = soft_aggregate(logits, active)
  alone = soft_aggregate(logits[:, ::2], jnp.ones((1, 2), bool))
  np.testing.assert_array_equal(out[:, 2], 0)
  np.testing.assert_allclose(out[:, (0, 1, 3)], alone, rtol=1e-6)
  np.testing.assert_allclose(out.sum(1), 1, rtol=1e-6)


def test_a_single_object_is_sharpened():
  f = 0.8
  out = soft_aggregate(logit(np.full((1, 1, 1, 1), f)), jnp.ones((1, 1), bool))
  assert float(out[0, 1, 0, 0]) == pytest.approx(f**2 / (f**2 + (1 - f) ** 2))
