"""A training step of RSIS: losses and gradients of the official program."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from vosjax import models
from vosjax.train.config import rsis_stage
from vosjax.train.recipes import instances, rsis
from vosjax.types import VideoBatch

RELEASED = {"mask": 1.0, "classes": 0.1, "box": 0.0, "stop": 0.5}


def module(name, params):
  """Our parameters of an official module."""
  side, *rest = name.split(".")
  if side == "decoder":
    heads = {"fc_class": params["classify"], "fc_stop": params["stop"]}
    tree = params["decoder"]
    heads["conv_out"] = tree["head"]
    return heads[rest[0]] if rest[0] in heads else tree[f"cells_{rest[1]}"]
  tree = params["encoder"]
  if rest[0] == "base":
    stem = {"conv1": "conv", "bn1": "norm"}
    if rest[1] in stem:
      return tree["backbone"]["stem"][stem[rest[1]]]
    return tree["backbone"][rest[1].replace("layer", "stage")]
  kind = {"sk": "conv", "bn": "norm"}[rest[0][:2]]
  return tree[f"skips_{5 - int(rest[0][2])}"][kind]


@pytest.fixture(scope="module")
def case(golden):
  return golden("rsis/golden_train.npz")


@pytest.fixture(scope="module")
def batch(case):
  """The images with their instances, whose classes are stored largest first."""
  labels = np.zeros_like(case["ids"])
  for b, ids in enumerate(case["ids"]):
    present, areas = np.unique(ids[ids > 0], return_counts=True)
    for place, i in enumerate(present[np.argsort(-areas)], 1):
      labels[b][ids == i] = place
  return VideoBatch(
    jnp.asarray(case["images"][:, None]),
    jnp.asarray(labels[:, None]),
    jnp.asarray(case["classes"].astype(np.uint8)),
  )


def test_which_instances_and_stop_scores_count(case, batch):
  valid = instances.truth_of(batch).valid
  np.testing.assert_array_equal(valid, case["sw_mask"] > 0)
  judged = rsis.judged(valid, valid.shape[1])
  np.testing.assert_array_equal(judged, case["sw_class"] > 0)


@pytest.mark.slow
@pytest.mark.parametrize(("prefix", "tolerance"), [("", 4e-4), ("frozenbn_", 4e-6)])
def test_losses_and_gradients(official, case, batch, monkeypatch, prefix, tolerance):
  """With BatchNorm as in training, and as in inference."""
  model, variables = official("rsis")
  num_objects, seen = int(case[f"{prefix}steps"]), {}

  def unroll(*args, train, **options):
    return models.unroll(*args, train=train and not prefix, **options)

  def class_loss(logits, classes):
    seen["classes"] = classes
    return losses_of_classes(logits, classes)

  losses_of_classes = rsis.losses.class_loss
  monkeypatch.setattr(instances, "unroll", unroll)
  monkeypatch.setattr(rsis.losses, "class_loss", class_loss)
  loss_of = rsis.make_objective(
    model, rsis_stage(losses=RELEASED, num_objects=num_objects)
  )

  @jax.jit
  def compute(params):
    def loss(params):
      value, outputs = loss_of(variables | {"params": params}, batch, jax.random.key(0))
      return value, (outputs, seen["classes"])

    return jax.value_and_grad(loss, has_aux=True)(params)

  (loss, (outputs, classes)), grads = compute(variables["params"])
  terms = [outputs.metrics[f"{name}_loss"] for name in ("mask", "stop", "classes")]
  expected = case[f"{prefix}losses_total_iou_stop_class"]
  np.testing.assert_allclose([loss, *terms], expected, rtol=1e-5)
  expected = case[f"{prefix}matched_classes"]
  known = expected >= 0
  np.testing.assert_array_equal(np.asarray(classes)[known], expected[known])
  norms = [optax.tree.norm(module(name, grads)) for name in case["grad_modules"]]
  expected = case[f"{prefix}grad_norms"]
  rtol = 0 if prefix else 1e-3
  atol = tolerance * expected.max()
  np.testing.assert_allclose(norms, expected, rtol=rtol, atol=atol)
