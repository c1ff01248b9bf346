"""What a run needs of a model beyond its network; the loop never asks which it is."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import numpy as np
import optax
from jaxtyping import Array, Float, Integer
from ml_collections import ConfigDict

from vosjax.data.sources import Source, Video
from vosjax.inference.protocols import Protocol
from vosjax.types import Variables, VideoBatch


class Outputs(NamedTuple):
  """What a step reports beside its loss."""

  metrics: Mapping[str, Float[Array, ""]]
  batch_stats: Variables


Objective = Callable[
    [Variables, VideoBatch, Any], tuple[Float[Array, ""], Outputs]
]
Batches = Callable[[int], Iterator[Mapping[str, Any]]]  # from a step of the stage on
Predicted = Integer[np.ndarray, "t h w"]
Segment = Callable[[Video], Predicted]


def no_measures(predicted: Predicted, video: Video) -> dict[str, float]:
  """Nothing beside J and F."""
  del predicted, video
  return {}


class Scoring(NamedTuple):
  """How a trained model is scored.

  Attributes:
    protocol: of J and F; higher J&F is what validation looks for.
    segment: makes, of model and variables, the function that segments a video.
    baselines: makes, of model and variables, what the model is compared with, by name.
    measures: further numbers of one video, by name; their means are reported.
  """

  protocol: Protocol
  segment: Callable[[nn.Module, Variables], Segment]
  baselines: Callable[[nn.Module, Variables], Mapping[str, Segment]]
  measures: Callable[[Predicted, Video], Mapping[str, float]] = no_measures


class Recipe(NamedTuple):
  """The parts of a run that belong to one model.

  Attributes:
    objective: of a model, by the options of a stage (see configs/base.py).
    optimizer: likewise.
    batches: by configuration, options of a stage and its opened sources.
    scoring: by configuration.
  """

  objective: Callable[[nn.Module, ConfigDict], Objective]
  optimizer: Callable[[nn.Module, ConfigDict], optax.GradientTransformation]
  batches: Callable[[ConfigDict, ConfigDict, Mapping[str, Source]], Batches]
  scoring: Callable[[ConfigDict], Scoring]
