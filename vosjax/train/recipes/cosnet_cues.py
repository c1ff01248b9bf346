"""COSNet on cues: every step trains on frames of videos and their past.

A clip holds a frame, followed by the earlier ones against which its motion is measured.
The backbone and the cues are not trained; what is left is small enough for Adam and
batches of a few clips.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import grain
import jax
import jax.numpy as jnp
import numpy as np
import optax
from ml_collections import ConfigDict

from vosjax.data.transforms import clips, pairs
from vosjax.data.video import Clip, Source, Video
from vosjax.labels import VOID
from vosjax.losses import (
  balanced_bce,
  binary_iou,
  mean_absolute_error,
  overlap_loss,
)
from vosjax.models.cosnet import COSNet, upsample
from vosjax.train import feeds
from vosjax.train.optimizers import adam
from vosjax.train.recipe import BatchesFrom, Objective, Outputs

_DECAY_POWER = 0.9  # of the learning rate, as in the paper
_STRIDE = 4  # of the masks that are trained on
_LOSSES = {"balanced": balanced_bce, "overlap": overlap_loss}


def make_objective(model: nn.Module, stage: ConfigDict) -> Objective:
  """Loss of all decisions about a frame: coarse, final and fine.

  Args:
    model: a COSNet with deep="cues".
    stage: its `losses` are the weights of "absolute" (the mean absolute error) and
      "still" (of each decision before the last).

  Raises:
    ValueError: `bce` is unknown, or `clip_length` does not fit the model's lags.
  """
  num_frames = 1 + len(model.motion_lags)
  if stage.clip_length != num_frames:
    raise ValueError(
      f"clip_length is {stage.clip_length}; expected {num_frames}: a frame and those "
      f"before it by model.fields.motion_lags={model.motion_lags}."
    )
  if stage.bce not in _LOSSES:
    raise ValueError(f"bce is {stage.bce!r}; known for deep='cues': {sorted(_LOSSES)}.")
  entropy, weights = _LOSSES[stage.bce], stage.losses.to_dict()

  def objective(variables, batch, key):
    del key  # nothing in this model is random
    frames = batch.frames.astype(jnp.float32) / 255
    middle = _STRIDE // 2
    truth = batch.labels[:, 0, middle::_STRIDE, middle::_STRIDE] == 1
    size = truth.shape[1:]
    found: Any = model.apply(variables, frames, method=COSNet.find)
    loss = jnp.zeros(())
    for logits, weight in (
      (found.fine, 1.0),
      (found.final, weights["still"]),
      (found.coarse, weights["still"]),
    ):
      p = jax.nn.sigmoid(upsample(logits, size))
      error = mean_absolute_error(p, truth)
      loss += weight * (entropy(p, truth) + weights["absolute"] * error)
    everywhere = jnp.ones_like(truth)
    iou = binary_iou(upsample(found.fine, size) > 0, truth, everywhere).mean()
    return loss, Outputs({"loss": loss, "iou": iou}, variables["batch_stats"])

  return objective


def make_optimizer(model: nn.Module, stage: ConfigDict) -> optax.GradientTransformation:
  """Adam, with a learning rate that decays to 0."""
  schedule = optax.polynomial_schedule(
    stage.learning_rate, 0.0, _DECAY_POWER, stage.num_steps
  )
  return optax.partition(
    {
      adam.TRAINED: optax.adamw(schedule, weight_decay=stage.weight_decay),
      adam.FROZEN: optax.set_to_zero(),
    },
    lambda params: adam.label_params(params, model.frozen),
  )


def make_batches(
  config: ConfigDict, stage: ConfigDict, sources: Mapping[str, Source], seed: int
) -> BatchesFrom:
  """Frames with their past, from any source of videos."""
  lags = tuple(config.model.fields.motion_lags)

  def transforms(name: str) -> tuple[grain.transforms.RandomMap, ...]:
    del name
    fitted = clips.Resize(tuple(stage.size))
    flip = (clips.RandomFlip(),) if stage.augment else ()
    return FrameWithEarlier(lags), fitted, *flip

  return feeds.batches(config, stage, sources, seed, transforms)


@dataclasses.dataclass(frozen=True)
class FrameWithEarlier(grain.transforms.RandomMap):
  """A frame of a video, followed by earlier ones; all objects are label 1.

  Attributes:
    lags: how many frames before it the earlier ones are; the first frame of the video
      takes the place of those before it.
  """

  lags: tuple[int, ...]

  def random_map(self, video: Video, rng: np.random.Generator) -> Clip | None:
    """The clip, or None if a frame is not annotated."""
    t = int(rng.integers(len(video)))
    clip = pairs.read_frames(video, [max(t - lag, 0) for lag in (0, *self.lags)])
    if clip is None:
      return None
    objects = (clip["labels"] != 0) & (clip["labels"] != VOID)
    return clip | {"labels": objects.view(np.uint8)}
