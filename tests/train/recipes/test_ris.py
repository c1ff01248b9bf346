"""RIS's loss against its definition, written out in NumPy, and its optimizer."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict
from scipy.optimize import linear_sum_assignment

from vosjax.models import RIS
from vosjax.train.config import ris_stage
from vosjax.train.recipes import ris

COUNTS = (3, 1)


@pytest.fixture
def predicted():
  rng = np.random.default_rng(1)
  return {
    "logits": rng.normal(0, 2, (2, 5, 6, 8)),
    "score_logits": rng.normal(0, 1, (2, 5)),
  }


@functools.cache
def make_program(model, num_objects, extra, weight=1.0):
  stage = ris_stage(
    num_objects=num_objects, extra_objects=extra, losses={"score": weight}
  )
  objective = ris.make_objective(model, stage)

  def loss(params, batch):
    loss, _ = objective({"params": params}, batch, jax.random.key(0))
    return loss

  return jax.jit(jax.value_and_grad(loss))


def evaluate(model, predicted, batch, **options):
  params = {name: jnp.asarray(x, jnp.float32) for name, x in predicted.items()}
  return make_program(model, **options)(params, batch)


def by_hand(predicted, masks, t, extra, weight):
  """Minus the matched IoU, plus the weighted loss of the scores; mean over images."""
  losses = []
  for b, n in enumerate(COUNTS):
    probs = 1 / (1 + np.exp(-predicted["logits"][b, : min(n, t)]))
    inner = np.einsum("thw,ghw->tg", probs, masks[b, :n])
    union = probs.sum((1, 2))[:, None] + masks[b, :n].sum((1, 2)) - inner
    iou = inner / union
    loss = -iou[linear_sum_assignment(-iou)].sum()
    for i, logit in enumerate(predicted["score_logits"][b, : min(n + extra, t)]):
      loss += weight * np.log1p(np.exp(-logit if i < n else logit))
    losses.append(loss)
  return np.mean(losses)


@pytest.mark.parametrize(
  ("t", "extra", "weight"), [(5, 1, 1.0), (5, 2, 1.0), (3, 1, 1.0), (2, 1, 0.5)]
)
def test_loss_agrees_with_its_definition(given, predicted, images, t, extra, weight):
  """n + 1 and n + 2 predictions, just enough, and too few (curriculum)."""
  batch, masks = images
  loss, _ = evaluate(
    given(), predicted, batch, num_objects=t, extra=extra, weight=weight
  )
  expected = by_hand(predicted, masks, t, extra, weight)
  assert float(loss) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("extra", [1, 2])
def test_gradients_reach_the_predictions_that_count_and_no_others(
  given, predicted, images, extra
):
  batch, _ = images
  _, grads = evaluate(given(), predicted, batch, num_objects=5, extra=extra)
  for name, more in (("logits", 0), ("score_logits", extra)):
    reached = np.asarray(grads[name]).reshape(2, 5, -1).any(-1)
    counted = np.arange(5) < np.array(COUNTS)[:, None] + more
    np.testing.assert_array_equal(reached, counted)


def test_perfect_masks_have_the_smallest_loss(given, predicted, images):
  """An IoU with a plus in its denominator would stop at a third."""
  batch, masks = images
  sure = np.where(np.arange(5) < np.array(COUNTS)[:, None], 30.0, -30.0)
  perfect = {"logits": 60 * masks - 30, "score_logits": sure}
  loss, _ = evaluate(given(), perfect, batch, num_objects=5, extra=2)
  assert float(loss) == pytest.approx(-np.mean(COUNTS), abs=1e-5)


def test_without_a_number_as_many_objects_are_decoded_as_the_model_has(
  given, predicted, images
):
  batch, _ = images
  found, _ = evaluate(given(num_objects=3), predicted, batch, num_objects=0, extra=1)
  expected, _ = evaluate(given(), predicted, batch, num_objects=3, extra=1)
  assert found == expected


def test_gradients_of_recurrent_modules_are_clipped():
  stage = ConfigDict(
    {"learning_rate": 1.0, "lr_decay": 1.0, "steps_per_epoch": 1, "weight_decay": 0.0}
  )
  params = {"cells_0": jnp.zeros(2), "convolutions_0": jnp.zeros(2)}
  tx = ris.make_optimizer(RIS(), stage)

  grads = {name: jnp.array([4.0, 50.0]) for name in params}
  states = jax.jit(tx.update)(grads, tx.init(params), params)[1].inner_states
  for name, expected in (("features", [0.4, 5.0]), ("recurrent", [0.4, 0.5])):
    moments = [x for x in jax.tree.leaves(states[name]) if x.shape == (2,)]
    np.testing.assert_allclose(moments[0], expected, rtol=1e-6)
