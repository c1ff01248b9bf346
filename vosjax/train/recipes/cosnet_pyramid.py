"""COSNet on a frozen pyramid: every step trains on pairs of frames and their past.

A clip holds two frames of a video, each followed by the earlier ones against which its
motion is measured. The backbone and the cues are not trained; what is left is small
enough for Adam and batches of a few clips.
"""

import dataclasses
from collections.abc import Mapping

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
  orthogonality_penalty,
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
  """Loss of the final, the coarse and the salient object in both frames of a pair.

  Args:
    model: a COSNet with a pyramid.
    stage: its `losses` are the weights of "absolute" (the mean absolute error), "still"
      (of what is found before the references are seen) and "orthogonality" (of the
      symmetric form's basis).

  Raises:
    ValueError: `bce` is unknown, or `clip_length` does not fit the model's lags.
  """
  num_frames = clip_length(model.motion_lags)
  if stage.clip_length != num_frames:
    raise ValueError(
      f"clip_length is {stage.clip_length}; expected {num_frames}: two frames, each "
      f"with those before it by model.fields.motion_lags={model.motion_lags}."
    )
  if stage.bce not in _LOSSES:
    raise ValueError(
      f"bce is {stage.bce!r}; known for deep='pyramid': {sorted(_LOSSES)}."
    )
  entropy, weights = _LOSSES[stage.bce], stage.losses.to_dict()

  def objective(variables, batch, key):
    del key  # nothing in this model is random
    frames = batch.frames.astype(jnp.float32) / 255
    t, h, w = frames.shape[1:4]
    size, middle = (h // _STRIDE, w // _STRIDE), _STRIDE // 2
    pair = model.apply(variables, frames, method=COSNet.pair_with_earlier)
    loss, ious = jnp.zeros(()), []
    for k, found in enumerate(pair):
      truth = batch.labels[:, k * t // 2, middle::_STRIDE, middle::_STRIDE] == 1
      for logits, weight in (
        (found.final, 1.0),
        (found.coarse, weights["still"]),
        (found.saliency, weights["still"]),
      ):
        p = jax.nn.sigmoid(upsample(logits, size))
        error = mean_absolute_error(p, truth)
        loss += weight * (entropy(p, truth) + weights["absolute"] * error)
      everywhere = jnp.ones_like(truth)
      final = upsample(found.final, size) > 0
      ious.append(binary_iou(final, truth, everywhere).mean())
    if model.attention == "symmetric":
      basis = variables["params"]["co_attention"]["basis"]
      loss += weights["orthogonality"] * orthogonality_penalty(basis)
    metrics = {"loss": loss, "iou": jnp.stack(ious).mean()}
    return loss, Outputs(metrics, variables["batch_stats"])

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
  """Pairs with their past, from any source of videos."""
  lags = tuple(config.model.fields.motion_lags)

  def transforms(name: str) -> tuple[grain.transforms.RandomMap, ...]:
    del name
    fitted = clips.Resize(tuple(stage.size))
    flip = (clips.RandomFlip(),) if stage.augment else ()
    return PairWithEarlier(lags), fitted, *flip

  return feeds.batches(config, stage, sources, seed, transforms)


def clip_length(lags: tuple[int, ...]) -> int:
  """Frames of a clip: two, each with its earlier ones."""
  return 2 * (1 + len(lags))


@dataclasses.dataclass(frozen=True)
class PairWithEarlier(grain.transforms.RandomMap):
  """Two frames of a video, each followed by earlier ones; all objects are label 1.

  Attributes:
    lags: how many frames before each of the two the earlier ones are; the first frame
      of the video takes the place of those before it.
  """

  lags: tuple[int, ...]

  def random_map(self, video: Video, rng: np.random.Generator) -> Clip | None:
    """The clip, or None if a frame is not annotated."""
    first = min(max(self.lags, default=0), len(video) - 1)
    later = np.arange(first, len(video))
    pair = rng.choice(later, 2, replace=len(later) < 2).tolist()
    times = [max(t - lag, 0) for t in pair for lag in (0, *self.lags)]
    clip = pairs.read_frames(video, times)
    if clip is None:
      return None
    objects = (clip["labels"] != 0) & (clip["labels"] != VOID)
    return clip | {"labels": objects.view(np.uint8)}
