"""RSIS's losses against their definition, written out in NumPy."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from vosjax.train.config import rsis_stage
from vosjax.train.recipes import rsis

LOSSES = {"mask": 1.0, "classes": 0.1, "box": 0.0, "stop": 0.5}
COUNTS = (3, 1)


@pytest.fixture
def predicted():
  rng = np.random.default_rng(1)
  return {
    "logits": rng.normal(0, 2, (2, 5, 6, 8)),
    "class_logits": rng.normal(0, 1, (2, 5, 4)),
    "stop_logits": rng.normal(0, 1, (2, 5)),
  }


@functools.cache
def make_program(model, num_objects, losses):
  stage = rsis_stage(losses=dict(losses), num_objects=num_objects)
  objective = rsis.make_objective(model, stage)

  def loss(params, batch):
    return objective({"params": params}, batch, jax.random.key(0))

  return jax.jit(jax.value_and_grad(loss, has_aux=True))


def evaluate(model, predicted, batch, num_objects=5, **losses):
  params = {name: jnp.asarray(x, jnp.float32) for name, x in predicted.items()}
  losses = tuple((LOSSES | losses).items())
  (_, outputs), grads = make_program(model, num_objects, losses)(params, batch)
  return {name: float(x) for name, x in outputs.metrics.items()}, grads


def sigmoid(x):
  return 1 / (1 + np.exp(-x))


def by_hand(predicted, masks, classes, t):
  """Means over the matched pairs and the stops that count, of both images."""
  mask_losses, class_losses, stop_losses = [], [], []
  for b, n in enumerate(COUNTS):
    probs = sigmoid(predicted["logits"][b, : min(n, t)])
    inner = np.einsum("thw,ghw->tg", probs, masks[b, :n])
    union = probs.sum((1, 2))[:, None] + masks[b, :n].sum((1, 2)) - inner
    cost = 1 - inner / union
    for i, g in zip(*linear_sum_assignment(cost)):
      mask_losses.append(cost[i, g])
      logits = predicted["class_logits"][b, i]
      class_losses.append(np.log(np.exp(logits).sum()) - logits[classes[b][g]])
    for i, logit in enumerate(predicted["stop_logits"][b, : min(n + 1, t)]):
      stop_losses.append(0.5 * np.log1p(np.exp(-logit if i < n else logit)))
  return map(np.mean, (mask_losses, class_losses, stop_losses))


@pytest.mark.parametrize("t", [5, 3, 2])
def test_losses_agree_with_their_definition(given, predicted, images, t):
  """More predictions than needed, just enough, and too few (curriculum)."""
  batch, masks = images
  metrics, _ = evaluate(given(), predicted, batch, t)
  mask, kind, stop = by_hand(predicted, masks, np.asarray(batch.classes), t)
  assert metrics["mask_loss"] == pytest.approx(mask, rel=1e-5)
  assert metrics["classes_loss"] == pytest.approx(kind, rel=1e-5)
  assert metrics["stop_loss"] == pytest.approx(stop, rel=1e-5)
  total = mask + 0.1 * kind + 0.5 * stop
  assert metrics["loss"] == pytest.approx(total, rel=1e-5)


def test_gradients_reach_the_predictions_that_count_and_no_others(
  given, predicted, images
):
  batch, _ = images
  _, grads = evaluate(given(), predicted, batch)
  found = np.arange(5) < np.array(COUNTS)[:, None]
  judged = np.arange(5) <= np.array(COUNTS)[:, None]
  for name, slots in (
    ("logits", found),
    ("class_logits", found),
    ("stop_logits", judged),
  ):
    reached = np.asarray(grads[name]).reshape(2, 5, -1).any(-1)
    np.testing.assert_array_equal(reached, slots)


def test_a_full_list_of_instances_has_no_stop():
  """An image with as many instances as the list may have had more."""
  valid = jnp.array([[True, True], [True, False]])
  assert rsis.judged(valid, 4).tolist() == [[True, True, False, False]] * 2


def test_classes_are_matched_like_their_masks(given, predicted, images):
  """Perfect masks in another order: classes in that order are right."""
  batch, masks = images
  order = [2, 0, 1]
  logits = 40 * masks - 20
  logits[0, :3] = logits[0, order]
  classes = np.asarray(batch.classes).copy()
  classes[0, :3] = classes[0, order]
  right = predicted | {
    "logits": logits,
    "class_logits": 20 * np.eye(4)[classes],
  }
  metrics, _ = evaluate(given(), right, batch)
  assert metrics["mask_loss"] < 1e-5 and metrics["classes_loss"] < 1e-5
  assert metrics["class_accuracy"] == 1
  unmoved = right | {"class_logits": 20 * np.eye(4)[np.asarray(batch.classes)]}
  assert evaluate(given(), unmoved, batch)[0]["class_accuracy"] < 0.5


def test_a_weight_of_0_switches_a_loss_off(given, predicted, images):
  _, grads = evaluate(given(), predicted, images[0], classes=0.0, stop=0.0)
  assert not np.asarray(grads["class_logits"]).any()
  assert not np.asarray(grads["stop_logits"]).any()


def test_boxes(given, predicted, images):
  batch, masks = images
  expected = [
    [[0, 0, 3 / 8, 1], [5 / 8, 0, 1, 1 / 2], [6 / 8, 4 / 6, 1, 1], [0] * 4, [0] * 4],
    [[1 / 8, 2 / 6, 7 / 8, 5 / 6], *([[0] * 4] * 4)],
  ]
  boxes = rsis.boxes_of(jnp.asarray(masks, jnp.float32))
  np.testing.assert_allclose(boxes, expected, atol=1e-6)
  exact = predicted | {"logits": 40 * masks - 20, "boxes": np.array(expected)}
  metrics, _ = evaluate(given(box_head=True), exact, batch, box=1.0)
  assert metrics["box_loss"] < 1e-12
  exact["boxes"][0, 3:] = 9  # no instance is there
  assert evaluate(given(box_head=True), exact, batch, box=1.0)[0] == metrics


def test_without_a_number_as_many_objects_are_decoded_as_the_model_has(
  given, predicted, images
):
  batch, _ = images
  found, _ = evaluate(given(num_objects=3), predicted, batch, 0)
  expected, _ = evaluate(given(), predicted, batch, 3)
  assert found == expected


def test_a_box_loss_needs_a_box_head(given):
  with pytest.raises(ValueError, match="box head"):
    rsis.make_objective(given(), rsis_stage(losses=LOSSES | {"box": 0.1}))
