"""A-GAME: one object per clip, given in the first frame."""

import functools
import math
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float
from ml_collections import ConfigDict

from vosjax.data.transforms import clips
from vosjax.data.video import Source
from vosjax.losses import binary_iou, binary_nll
from vosjax.models import unroll
from vosjax.ops import resize
from vosjax.train import feeds
from vosjax.train.optimizers import adam
from vosjax.train.recipe import BatchesFrom, Objective, Outputs, Recipe, Scoring
from vosjax.train.scoring import datasets, segmenters

# Between the seeds of a stage's sizes: runs with other seeds share no videos.
_SIZE_SEED_OFFSET = 3_000_017


def make_objective(model: nn.Module, stage: ConfigDict) -> Objective:
  """Loss of A-GAME on clips with one object, label 1, given in the first frame.

  The weighted sum of two mean negative log-likelihoods, of the final and the coarse
  prediction. Both are means over all pixels of the clip; the given frame is included
  with a loss of zero, as in the released program.

  Args:
    model: an AGame.
    stage: its `losses` are the weights of "final" and "coarse"; 0 disables a loss.

  Raises:
    ValueError: `clip_length` is 1, which leaves no frame to learn from.
  """
  if stage.clip_length < 2:
    raise ValueError(
      f"clip_length is {stage.clip_length}; expected at least 2. A-GAME is given the "
      "first frame's mask and learns from the frames after it."
    )
  weights = stage.losses.to_dict()
  all_steps = jax.default_backend() == "cpu"

  def objective(variables, batch, key):
    del key  # nothing in this model is random
    frames = batch.frames.astype(jnp.float32) / 255
    truth = batch.labels == 1
    unrolled = unroll(
      model,
      variables,
      frames,
      truth[:, 0, None].astype(jnp.float32),  # [b o h w], one object
      recurrence="coarse",
      train=not stage.frozen_batch_stats,
      remat=stage.remat,
      unroll_steps=stage.unroll_steps or all_steps,
    )
    t = frames.shape[1]
    truth = truth[:, 1:]  # no pixel is void, see `clips.ChooseObject`
    logits = unrolled.predictions.logits[:, :, 0]
    coarse = unrolled.predictions.aux["coarse_logits"][:, :, 0]

    def mean(nll):
      return nll.mean() * (t - 1) / t

    terms = {
      "final": mean(binary_nll(logits, truth)),
      "coarse": mean(_coarse_nll(coarse, truth)),
    }
    loss = sum(weights[name] * term for name, term in terms.items())
    iou = binary_iou(logits > 0, truth, jnp.ones_like(truth))
    metrics = {f"{name}_loss": term for name, term in terms.items()}
    mean_iou = (iou.sum() / t / len(iou)) + 1 / t  # the given frame counts as 1
    metrics |= {"loss": loss, "iou": mean_iou}
    return loss, Outputs(metrics, unrolled.batch_stats)

  return objective


def _coarse_nll(
  logits: Float[Array, "b t height width"], truth: Bool[Array, "b t h w"]
) -> Float[Array, "b t h w"]:
  """Log-probabilities are computed at the coarse size and then interpolated."""
  b, t, h, w = truth.shape
  pair = jnp.stack([nn.log_sigmoid(-logits), nn.log_sigmoid(logits)], axis=-1)
  pair = resize.bilinear(pair.reshape(b * t, *pair.shape[2:]), (h, w))
  background, target = jnp.moveaxis(pair.reshape(b, t, h, w, 2), -1, 0)
  return -jnp.where(truth, target, background)


def make_optimizer(model: nn.Module, stage: ConfigDict) -> optax.GradientTransformation:
  """Adam for all parameters but the frozen ones."""
  return adam.make_optimizer(
    learning_rate=stage.learning_rate,
    lr_decay=stage.lr_decay,
    steps_per_epoch=stage.steps_per_epoch,
    weight_decay=stage.weight_decay,
    frozen=model.frozen,
  )


def make_batches(
  config: ConfigDict, stage: ConfigDict, sources: Mapping[str, Source], seed: int
) -> BatchesFrom:
  """Clips with one object each, from any source of videos; the sizes take turns."""
  parts, sizes = [], (stage.size, *stage.more_sizes)
  areas = [math.prod(size) for size in sizes]
  for i, size in enumerate(sizes):
    variation = i * _SIZE_SEED_OFFSET
    part = ConfigDict(stage.to_dict() | {"size": tuple(size)})
    resized = {
      name: feeds.at_size(source, part.size, variation)
      for name, source in sources.items()
    }
    transforms = functools.partial(clip_transforms, config, part)
    share = areas[i] / sum(areas)
    parts.append(
      feeds.batches(config, part, resized, seed + variation, transforms, share=share)
    )
  return feeds.take_turns(parts, stage.num_steps)


def clip_transforms(
  config: ConfigDict, stage: ConfigDict, name: str
) -> tuple[Any, ...]:
  """The transforms of a source's videos, from a whole video to a sample."""
  transforms = [
    clips.SampleClip(stage.clip_length, config.data.min_object_pixels),
    clips.Resize(tuple(stage.size)),
    clips.ChooseObject(config.data.min_chosen_pixels[name]),
  ]
  if name == "youtube_vos" and config.data.youtube_vos_size:
    transforms.insert(0, clips.RequireSize(tuple(config.data.youtube_vos_size)))
  if stage.flip:
    transforms.append(clips.RandomFlip())
  if stage.zoom:
    transforms.append(clips.RandomZoom())
  return tuple(transforms)


def make_scoring(config: ConfigDict, model: nn.Module) -> Scoring:
  """One-shot, with the settings of the official results."""
  del model  # every A-GAME is one-shot
  late = datasets.dataset_of(config).late
  options: dict[str, Any] = {}
  if config.evaluation.dataset == "synthvos":
    options = {"max_objects": config.evaluation.max_objects}
  elif datasets.protocol_name(config, "objects") == "davis2016":
    options = {"recurrence": "fine"}
  segment = functools.partial(segmenters.one_shot_segmenter, late=late, **options)
  return Scoring("objects", segment, segmenters.first_mask_baseline(late))


RECIPE = Recipe(
  objective=make_objective,
  optimizer=make_optimizer,
  batches=make_batches,
  scoring=make_scoring,
)
