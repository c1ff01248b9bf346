"""Losses of instances against the official programs, values and gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vosjax.losses import instances
from vosjax.losses.matching import mask_padding, match, reorder


def gap(actual, expected):
  """Largest difference as a fraction of the largest expected magnitude."""
  actual, expected = np.asarray(actual), np.asarray(expected)
  assert actual.shape == expected.shape
  return np.abs(actual - expected).max() / max(np.abs(expected).max(), 1e-30)


def clip_loss(logits, truth, valid):
  """The loss of one frame as RVOS is trained on it, and its costs."""
  probs = jax.nn.sigmoid(logits)
  cost = instances.soft_iou_cost(probs, truth)
  ordered = reorder(truth, match(mask_padding(cost, valid)))
  losses = instances.soft_iou_loss(probs, ordered)
  return instances.mean_over(losses, valid[:, : losses.shape[1]]), cost


@pytest.mark.parametrize("name", ["A", "B", "C"])
def test_rvos(golden, name):
  """With padding, fewer predictions than objects, and no valid object at all."""
  case = golden("rvos/golden_losses.npz")
  logits = jnp.asarray(case[f"{name}_logits"])
  b, _, h, w = logits.shape
  truth = jnp.asarray(case[f"{name}_targets"], jnp.float32).reshape(b, -1, h, w)
  valid = jnp.asarray(case[f"{name}_sw"] > 0)
  (loss, cost), grad = jax.jit(jax.value_and_grad(clip_loss, has_aux=True))(
    logits, truth, valid
  )
  assert gap(cost, case[f"{name}_cost"]) < 1e-6
  assert gap(loss, case[f"{name}_loss"]) < 1e-6
  expected = case[f"{name}_dloss_dlogits"]
  if name == "C":
    assert loss == 1
    np.testing.assert_array_equal(grad, expected)
    assert not expected.any()
  else:
    assert gap(grad, expected) < 3e-6


def test_padded_objects_do_not_count(golden):
  case = golden("rvos/golden_losses.npz")
  logits = jnp.asarray(case["A_logits"])
  truth = jnp.asarray(case["A_targets"], jnp.float32).reshape(2, 6, 24, 40)
  valid = jnp.asarray(case["A_sw"] > 0)
  loss = jax.jit(lambda *args: clip_loss(*args)[0])
  noise = jnp.asarray(np.random.default_rng(0).standard_normal(logits.shape), "f4")
  other = jnp.where(valid[:, :, None, None], logits, noise)
  assert loss(logits, truth, valid) == loss(other, truth, valid)


def test_rsis(golden):
  """Mask, class and stop losses, with padding and more objects than predictions."""
  case = golden("rsis/golden_losses.npz")
  truth = jnp.asarray(case["targets"], jnp.float32).reshape(2, 7, 24, 32)
  is_object, counts = (jnp.asarray(case[name] > 0) for name in ("sw_mask", "sw_class"))
  t = case["mask_logits"].shape[1]

  def total(masks, classes, stops):
    probs = jax.nn.sigmoid(masks)
    cost = instances.soft_iou_cost(probs, truth)
    masked = mask_padding(cost, is_object)
    matched = match(masked)
    ordered = reorder(truth, matched)
    kinds = reorder(jnp.asarray(case["classes"]), matched)
    valid = is_object[:, :t]
    mean = instances.mean_over
    terms = {
      "iou": mean(instances.soft_iou_loss(probs, ordered), valid),
      "class": mean(instances.class_loss(classes, kinds), valid),
      "stop": mean(instances.stop_loss(stops, valid), counts[:, :t]),
    }
    loss = terms["iou"] + 0.1 * terms["class"] + 0.5 * terms["stop"]
    return loss, (terms | {"total": loss}, cost, masked, kinds, ordered.sum((2, 3)))

  inputs = (jnp.asarray(case[f"{n}_logits"]) for n in ("mask", "class", "stop"))
  (_, (terms, cost, masked, kinds, area)), grads = jax.jit(
    jax.value_and_grad(total, (0, 1, 2), has_aux=True)
  )(*inputs)
  for name, term in terms.items():
    assert gap(term, case[f"loss_{name}"]) < 2e-6
  assert gap(cost, case["cost"]) < 1e-6
  assert gap(masked, case["cost_masked"]) < 1e-6
  known = case["matched_classes"] >= 0
  np.testing.assert_array_equal(kinds[known], case["matched_classes"][known])
  np.testing.assert_array_equal(area[known], case["matched_area"][known])
  for name, grad in zip(("mask", "class", "stop"), grads):
    assert gap(grad, case[f"dL_d{name}"]) < 4e-6


@pytest.mark.parametrize("extra", [0, 3])
def test_ris(golden, extra):
  """Two objects, four predictions; padded objects change nothing."""
  case = golden("rvos/golden_ris_formula.npz")
  truth = np.concatenate([case["targets"], np.ones((extra, 10, 12))])
  truth = jnp.asarray(truth[None], jnp.float32)
  probs, scores = (jnp.asarray(case[n][None]) for n in ("masks", "scores_flat"))
  valid = jnp.arange(2 + extra)[None] < 2
  iou = instances.relaxed_iou(probs, truth)[0, :2, :2].T
  assert gap(iou, case["iou"]) < 1e-5
  np.testing.assert_array_equal(match(-iou[None])[0], case["assignment"])
  # The score's part of a cost is the same along a row, and changes no matching.
  cost = -iou - np.log(case["scores_flat"][:2, None])
  assert gap(cost, case["cost"]) < 1e-6
  loss = jax.jit(instances.ris_loss)(probs, scores, truth, valid)[0]
  assert gap(loss, case["loss_sum"]) < 1e-6
  assert gap(loss / 4, case["loss_reported"]) < 1e-6


def test_ris_with_fewer_predictions_than_objects():
  masks = np.eye(3, dtype=np.float32)[:, None]  # three objects of one pixel
  probs, truth = jnp.asarray(masks[None, 2:]), jnp.asarray(masks[None])
  loss = instances.ris_loss(probs, jnp.ones((1, 1)), truth, jnp.ones((1, 3), bool))
  assert float(loss[0]) == pytest.approx(-1)


@pytest.mark.parametrize(("extra", "counted"), [(0, 1), (1, 2), (2, 3), (None, 4)])
def test_scores_of_ris_count_as_far_as_asked(extra, counted):
  """One object, found exactly, and four predictions with scores of one half."""
  truth = jnp.zeros((1, 1, 2, 2)).at[0, 0, 0].set(1)
  probs = jnp.concatenate([truth, jnp.zeros((1, 3, 2, 2))], axis=1)
  scores, valid = jnp.full((1, 4), 0.5), jnp.ones((1, 1), bool)
  loss = instances.ris_loss(probs, scores, truth, valid, score_weight=3.0, extra=extra)
  assert float(loss[0]) == pytest.approx(3 * counted * np.log(2) - 1, rel=1e-5)


def test_relaxed_iou_of_equal_masks_is_one():
  mask = jnp.ones((1, 1, 2, 2))
  assert instances.relaxed_iou(mask, mask)[0, 0, 0] == 1
  assert instances.relaxed_iou(0 * mask, 0 * mask)[0, 0, 0] == 0


def test_boxes():
  boxes = jnp.array([[0.0, 0.0, 1.0, 1.0]])
  loss = instances.box_loss(boxes, jnp.array([[0.0, 0.5, 1.0, 1.0]]))
  assert float(loss[0]) == pytest.approx(0.25 / 4)
