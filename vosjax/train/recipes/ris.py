"""RIS: masks and scores of the instances of an image."""

import flax.linen as nn
import flax.traverse_util
import jax
import optax
from ml_collections import ConfigDict

from vosjax.losses import relaxed_iou, ris_loss
from vosjax.train.optimizers.adam import FROZEN, coupled_adam, label_params
from vosjax.train.recipe import Objective, Outputs, Recipe
from vosjax.train.recipes import instances

_FEATURES = ("convolutions_", "fcn")  # modules of the model that are not recurrent
_MAX_GRADIENT = 5.0  # of each element of the recurrent modules' gradients


def make_objective(model: nn.Module, stage: ConfigDict) -> Objective:
  """Mean of `ris_loss` over images.

  Args:
    model: a RIS.
    stage: see `vosjax.train.config.ris_stage`; a curriculum starts with a small
      `num_objects`, and `extra_objects` is 2 on the slides.
  """
  num_objects = stage.num_objects or model.num_objects

  def objective(variables, batch, key):
    del key  # nothing in this model is random
    truth = instances.truth_of(batch)
    prediction, stats = instances.decode(model, variables, batch, num_objects)
    probs = jax.nn.sigmoid(prediction.logits)
    scores = jax.nn.sigmoid(prediction.aux["score_logits"])
    losses = ris_loss(
      probs,
      scores,
      truth.masks,
      truth.valid,
      score_weight=stage.losses.score,
      extra=stage.extra_objects,
    )
    loss = losses.mean()
    best = (relaxed_iou(probs, truth.masks).max(2) * truth.valid).sum()
    metrics = {"loss": loss, "best_iou": best / truth.valid.sum()}
    return loss, Outputs(metrics, stats)

  return objective


def make_optimizer(model: nn.Module, stage: ConfigDict) -> optax.GradientTransformation:
  """Adam; gradients of the recurrent modules are clipped element by element."""

  def adam():
    return coupled_adam(
      learning_rate=stage.learning_rate,
      lr_decay=stage.lr_decay,
      steps_per_epoch=stage.steps_per_epoch,
      weight_decay=stage.weight_decay,
    )

  def labels(params):
    def part(path: tuple[str, ...], label: str) -> str:
      if label == FROZEN:
        return FROZEN
      return "features" if path[0].startswith(_FEATURES) else "recurrent"

    flat = flax.traverse_util.flatten_dict(label_params(params, model.frozen))
    parts = {path: part(path, label) for path, label in flat.items()}
    return flax.traverse_util.unflatten_dict(parts)

  recurrent = optax.chain(optax.clip(_MAX_GRADIENT), adam())
  parts = {"features": adam(), "recurrent": recurrent, FROZEN: optax.set_to_zero()}
  return optax.partition(parts, labels)


RECIPE = Recipe(
  objective=make_objective,
  optimizer=make_optimizer,
  batches=instances.make_batches,
  scoring=instances.make_scoring,
)
