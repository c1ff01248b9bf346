"""What RSIS and RIS share: images whose instances are found one after another."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int
from ml_collections import ConfigDict

from vosjax import metrics
from vosjax.data.transforms import clips
from vosjax.data.transforms.affine import RandomAffine
from vosjax.data.transforms.instances import LargestFirst, SampleFrame
from vosjax.data.video import Source
from vosjax.evaluation.scored_video import ScoredVideo
from vosjax.inference.engine import VideoSegmenter
from vosjax.labels import VOID
from vosjax.models import unroll
from vosjax.train import feeds
from vosjax.train.recipe import BatchesFrom, Scoring, Segment
from vosjax.types import Prediction, Variables, VideoBatch


class Instances(NamedTuple):
  """The annotation of a batch of images.

  Attributes:
    masks: masks of the instances, largest first.
    classes: classes of the instances; 0 = no instance.
  """

  masks: Float[Array, "b g h w"]
  classes: Int[Array, "b g"]

  @property
  def valid(self) -> Bool[Array, "b g"]:
    """Which slots hold an instance."""
    return self.classes > 0


def truth_of(batch: VideoBatch) -> Instances:
  """Instances of a batch that `LargestFirst` made."""
  classes = jnp.asarray(batch.classes, jnp.int32)
  ids = jnp.arange(1, classes.shape[1] + 1)[None, :, None, None]
  masks = batch.labels == ids  # [b 1 h w] against the ids
  return Instances(masks.astype(jnp.float32), classes)


def decode(
  model: nn.Module, variables: Variables, batch: VideoBatch, num_objects: int
) -> tuple[Prediction, Variables]:
  """Predicts the first `num_objects` instances of every image.

  Returns:
    Predictions [b o ...], and the running statistics after the batch.
  """
  frames = batch.frames.astype(jnp.float32) / 255
  active = jnp.ones((len(frames), num_objects), bool)
  unrolled = unroll(model, variables, frames, active=active, train=True)
  return jax.tree.map(lambda x: x[:, 0], unrolled.predictions), unrolled.batch_stats


def make_batches(
  config: ConfigDict, stage: ConfigDict, sources: Mapping[str, Source], seed: int
) -> BatchesFrom:
  """Batches of single images, from any source."""
  return feeds.batches(config, stage, sources, seed, lambda _: frame_transforms(stage))


def frame_transforms(stage: ConfigDict) -> tuple[Any, ...]:
  """The transforms of a video, from a whole video to a sample of one frame."""
  transforms = [SampleFrame(), clips.Resize(tuple(stage.size))]
  if stage.flip:
    transforms.append(clips.RandomFlip())
  if stage.affine:
    transforms.append(
      RandomAffine(
        rotation=stage.rotation,
        translation=stage.translation,
        shear=stage.shear,
        zoom=tuple(stage.zoom),
      )
    )
  transforms.append(LargestFirst(stage.max_instances, stage.min_instance_pixels))
  return tuple(transforms)


def make_scoring(config: ConfigDict, model: nn.Module) -> Scoring:
  """Images are scored as videos of one frame; the ids are the model's own."""
  del config, model
  return Scoring("proposals", segment_frames, measures=measures)


def segment_frames(model: nn.Module, variables: Variables) -> Segment:
  """Segments each frame of a video independently."""
  segmenter = VideoSegmenter(model, jax.device_get(variables))

  return lambda video: (result.labels for result in segmenter.run(video))


def measures(scored: ScoredVideo) -> dict[str, float]:
  """Best Dice and absolute count error, averaged over the frames of a video."""
  dice, counts = [], []
  for labels, truth in zip(scored.prediction, scored.truth):
    truth = np.where(truth == VOID, 0, truth)
    dice.append(metrics.symmetric_best_dice(labels, truth))
    counts.append(metrics.count_difference(labels, truth))
  return {"best Dice": float(np.mean(dice)), "|count error|": float(np.mean(counts))}
