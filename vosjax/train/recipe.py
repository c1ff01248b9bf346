"""What a run needs to know about a model beyond its network.

The loop never asks which model it trains.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import numpy as np
import optax
from jaxtyping import Array, Float, Integer
from ml_collections import ConfigDict

from vosjax.data.video import Source, Video
from vosjax.evaluation.scored_video import ScoredVideo
from vosjax.train.optimizers.adam import TRAINED, label_params
from vosjax.types import Variables, VideoBatch


class Outputs(NamedTuple):
  """What a step reports besides its loss.

  Attributes:
    metrics: scalars by name.
    batch_stats: updated running statistics.
  """

  metrics: Mapping[str, Float[Array, ""]]
  batch_stats: Variables


# (variables, batch, key) -> (loss, outputs)
Objective = Callable[[Variables, VideoBatch, Any], tuple[Float[Array, ""], Outputs]]
# (step of the stage) -> its batches from there on
BatchesFrom = Callable[[int], Iterator[Mapping[str, Any]]]
# The label maps of a video's frames, in order.
Segment = Callable[[Video], Iterator[Integer[np.ndarray, "h w"]]]
# (model, variables) -> what the model is compared with, by name.
Baselines = Callable[[nn.Module, Variables], Mapping[str, Segment]]


def no_baselines(model: nn.Module, variables: Variables) -> dict[str, Segment]:
  """No baselines; a training run is compared with its initial weights in any case."""
  del model, variables
  return {}


def no_measures(scored: ScoredVideo) -> dict[str, float]:
  """No measures besides J and F."""
  del scored
  return {}


class Scoring(NamedTuple):
  """How a trained model is scored.

  Attributes:
    task: what its ids mean; `vosjax.train.scoring.datasets` has a protocol for each
      dataset and task. Validation selects by the J&F of this protocol.
    segment: (model, variables) -> the function that segments a video.
    baselines: (model, variables) -> what the model is compared with, by name.
    measures: further numbers of one video, by name; their means are reported.
  """

  task: str
  segment: Callable[[nn.Module, Variables], Segment]
  baselines: Baselines = no_baselines
  measures: Callable[[ScoredVideo], Mapping[str, float]] = no_measures


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
  """The parts of a run that belong to one model.

  Attributes:
    objective: (model, options of a stage) -> its objective.
    optimizer: (model, options of a stage) -> its optimizer, without clipping.
    batches: (configuration, options of a stage, its sources by name, its seed) -> a
      function from a step of the stage to the iterator of batches from that step on.
    scoring: (configuration, model) -> how the model is scored.
  """

  objective: Callable[[nn.Module, ConfigDict], Objective]
  optimizer: Callable[[nn.Module, ConfigDict], optax.GradientTransformation]
  batches: Callable[[ConfigDict, ConfigDict, Mapping[str, Source], int], BatchesFrom]
  scoring: Callable[[ConfigDict, nn.Module], Scoring]

  def clipped_optimizer(
    self, model: nn.Module, stage: ConfigDict
  ) -> optax.GradientTransformation:
    """The stage's optimizer, with gradient clipping to `max_grad_norm`.

    With a `reference_batch_size`, its learning rates are scaled linearly.

    The norm is taken over the trained parameters alone. Frozen ones have gradients as
    well where the model does not stop them (COSNet's frozen normalisation).
    """
    optimizer = self.optimizer(model, scale_rates(stage))
    if not stage.max_grad_norm:
      return optimizer

    def is_trained(params):
      labels = label_params(params, model.frozen)
      return jax.tree.map(lambda label: label == TRAINED, labels)

    clip = optax.clip_by_global_norm(stage.max_grad_norm)
    return optax.chain(optax.masked(clip, is_trained), optimizer)


def scale_rates(stage: ConfigDict) -> ConfigDict:
  """The stage with learning rates multiplied by batch_size / reference_batch_size.

  Source: Goyal et al., Accurate, Large Minibatch SGD, 2017 (linear scaling rule).
  """
  if not stage.reference_batch_size:
    return stage
  scaled = stage.copy_and_resolve_references()
  factor = stage.batch_size / stage.reference_batch_size
  for key in ("learning_rate", "encoder_learning_rate"):
    if key in scaled:
      scaled[key] *= factor
  return scaled
