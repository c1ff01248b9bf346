"""RSIS: masks, classes, boxes and stops of the instances of an image."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float
from ml_collections import ConfigDict

from vosjax import losses
from vosjax.losses import mask_padding, match, reorder, valid_slots
from vosjax.train.optimizers.two_adams import two_adams
from vosjax.train.recipe import Objective, Outputs, Recipe
from vosjax.train.recipes import instances
from vosjax.train.recipes.official.two_adams import repeated_two_adams
from vosjax.types import AnyArray


def make_objective(model: nn.Module, stage: ConfigDict) -> Objective:
  """Weighted sum of the losses of all instances, matched to predictions by their masks.

  With n instances, the first n predictions are matched; classes and boxes count for
  these only, and the stop score also for the next prediction, which should end the
  sequence.

  Args:
    model: an RSIS.
    stage: its `losses` are the weights of "mask", "classes", "box" and "stop"; 0
      disables a loss.

  Raises:
    ValueError: there is a weight of "box", but the model has no box head.
  """
  weights, num_objects = stage.losses.to_dict(), stage.num_objects or model.num_objects
  if weights["box"] and not model.box_head:
    raise ValueError(
      f"losses.box is {weights['box']}, but the model has no box head. Set "
      "model.fields.box_head to True, or losses.box to 0."
    )

  def objective(variables, batch, key):
    del key  # nothing in this model is random
    truth = instances.truth_of(batch)
    prediction, stats = instances.decode(model, variables, batch, num_objects)
    probs, aux = jax.nn.sigmoid(prediction.logits), prediction.aux
    cost = losses.soft_iou_cost(probs, truth.masks)
    matched = match(mask_padding(cost, truth.valid))
    masks, classes = (reorder(x, matched) for x in (truth.masks, truth.classes))
    found = valid_slots(truth.valid, num_objects)
    values = {
      "mask": (losses.soft_iou_loss(probs, masks), found),
      "classes": (losses.class_loss(aux["class_logits"], classes), found),
      "stop": (
        losses.stop_loss(aux["stop_logits"], found),
        judged(truth.valid, num_objects),
      ),
    }
    if model.box_head:
      values["box"] = losses.box_loss(aux["boxes"], boxes_of(masks)), found
    terms = {name: losses.mean_over(*pair) for name, pair in values.items()}
    loss = sum((weights[name] * term for name, term in terms.items()), jnp.zeros(()))
    right = (aux["class_logits"].argmax(-1) == classes).astype(jnp.float32)
    metrics = {f"{name}_loss": term for name, term in terms.items()}
    metrics |= {"loss": loss, "class_accuracy": losses.mean_over(right, found)}
    return loss, Outputs(metrics, stats)

  return objective


def judged(valid: Bool[AnyArray, "b g"], o: int) -> Bool[Array, "b o"]:
  """Predictions whose stop counts: one per instance, and the one after the last.

  The latter does not count where the list of instances is full, as the image may have
  had more.
  """
  counts = valid.sum(1)[:, None]
  return jnp.arange(o)[None] <= jnp.minimum(counts, valid.shape[1] - 1)


def boxes_of(masks: Float[AnyArray, "b o h w"]) -> Float[Array, "b o 4"]:
  """(x_min, y_min, x_max, y_max) of masks, as fractions of the image; 0 if empty."""
  sides = []
  for axis in (2, 3):  # the maximum over rows leaves columns, and vice versa
    covered = masks.max(axis) > 0
    size = covered.shape[-1]
    low = jnp.where(covered.any(-1), covered.argmax(-1), 0)
    high = jnp.where(covered.any(-1), size - covered[..., ::-1].argmax(-1), 0)
    sides.append((low / size, high / size))
  (left, right), (top, bottom) = sides
  return jnp.stack([left, top, right, bottom], axis=-1)


def make_optimizer(model: nn.Module, stage: ConfigDict) -> optax.GradientTransformation:
  """One Adam for the backbone and one for the rest."""
  optimizer = repeated_two_adams if stage.official else two_adams
  return optimizer(model, stage)


RECIPE = Recipe(
  objective=make_objective,
  optimizer=make_optimizer,
  batches=instances.make_batches,
  scoring=instances.make_scoring,
)
