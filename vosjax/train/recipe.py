"""What a run needs of a model beyond its network; the loop never asks which it is."""

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
  """What a step reports beside its loss."""

  metrics: Mapping[str, Float[Array, ""]]
  batch_stats: Variables


Objective = Callable[[Variables, VideoBatch, Any], tuple[Float[Array, ""], Outputs]]
Batches = Callable[[int], Iterator[Mapping[str, Any]]]  # from a step of the stage on
# The label maps of a video's frames, one after the other.
Segment = Callable[[Video], Iterator[Integer[np.ndarray, "h w"]]]
Baselines = Callable[[nn.Module, Variables], Mapping[str, Segment]]


def no_baselines(model: nn.Module, variables: Variables) -> dict[str, Segment]:
  """Nothing; untrained weights, which every run is compared with, are all there is."""
  del model, variables
  return {}


def no_measures(scored: ScoredVideo) -> dict[str, float]:
  """Nothing beside J and F."""
  del scored
  return {}


class Scoring(NamedTuple):
  """How a trained model is scored.

  Attributes:
    task: what its ids mean, see `vosjax.train.scoring.datasets`, where each data set
      has a protocol of J and F for it; higher J&F is what validation looks for.
    segment: makes, of model and variables, the function that segments a video.
    baselines: makes, of model and variables, what the model is compared with, by name.
    measures: further numbers of one video, by name; their means are reported.
  """

  task: str
  segment: Callable[[nn.Module, Variables], Segment]
  baselines: Baselines = no_baselines
  measures: Callable[[ScoredVideo], Mapping[str, float]] = no_measures


class Recipe(NamedTuple):
  """The parts of a run that belong to one model.

  Attributes:
    objective: of a model, by the options of a stage (see configs/base.py).
    optimizer: likewise.
    batches: by configuration, options of a stage and its opened sources.
    scoring: by configuration and model.
  """

  objective: Callable[[nn.Module, ConfigDict], Objective]
  optimizer: Callable[[nn.Module, ConfigDict], optax.GradientTransformation]
  batches: Callable[[ConfigDict, ConfigDict, Mapping[str, Source]], Batches]
  scoring: Callable[[ConfigDict, nn.Module], Scoring]

  def tx(self, model: nn.Module, stage: ConfigDict) -> optax.GradientTransformation:
    """The stage's optimizer, which sees gradients of `max_grad_norm` at most.

    The norm is that of what is trained: frozen parameters have gradients, too, where
    the model does not stop them (COSNet's frozen normalisation).
    """
    own = self.optimizer(model, stage)
    if not stage.max_grad_norm:
      return own

    def is_trained(params):
      labels = label_params(params, model.frozen)
      return jax.tree.map(lambda label: label == TRAINED, labels)

    shorten = optax.clip_by_global_norm(stage.max_grad_norm)
    return optax.chain(optax.masked(shorten, is_trained), own)
