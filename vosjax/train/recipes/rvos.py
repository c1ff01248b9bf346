"""RVOS: all objects of a video, with or without their masks in the first frame."""

import functools
from collections.abc import Mapping
from typing import Any, Literal, get_args

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float
from ml_collections import ConfigDict

from vosjax.data.transforms import affine, clips
from vosjax.data.video import Source
from vosjax.data.views import SuccessiveClips
from vosjax.evaluation.first_frame_matching import FirstFrameMatcher
from vosjax.evaluation.prompts import object_prompts
from vosjax.inference.engine import VideoSegmenter
from vosjax.labels import VOID
from vosjax.models import unroll, with_execution
from vosjax.train import feeds
from vosjax.train.optimizers.two_adams import two_adams
from vosjax.train.recipe import (
  BatchesFrom,
  Objective,
  Outputs,
  Recipe,
  Scoring,
  Segment,
)
from vosjax.train.recipes.official.two_adams import repeated_two_adams
from vosjax.train.recipes.rvos_loss import clip_losses
from vosjax.train.scoring import datasets, segmenters
from vosjax.types import AnyArray, ClipLabels, Variables

Previous = Literal["truth", "inferred"]
_THRESHOLD = 0.5  # of the probability of a proposal's pixels


def make_objective(model: nn.Module, stage: ConfigDict) -> Objective:
  """Soft IoU loss of each frame, summed over the clip; backpropagated through it all.

  The object with id k belongs to slot k - 1, in which a one-shot model must find it; a
  zero-shot model may find it in any slot. Ids beyond the slots are background. An
  object of any frame of the clip counts in all of them, and void pixels in none.

  Args:
    model: an RVOS; `num_objects` slots are decoded.
    stage: see `vosjax.train.config.rvos_stage`; for `official`, see
      `vosjax.train.recipes.official`.

  Raises:
    ValueError: `previous` is unknown.
  """
  if stage.previous not in get_args(Previous):
    raise ValueError(
      f"previous is {stage.previous!r}; known: {list(get_args(Previous))}."
    )
  all_steps = jax.default_backend() == "cpu"
  unroll_steps = stage.unroll_steps or all_steps
  model = with_execution(model, unroll_objects=unroll_steps)

  def objective(variables, batch, key):
    del key  # nothing in this model is random
    frames = batch.frames.astype(jnp.float32) / 255
    truth, present = split_objects(batch.labels, model.num_objects)
    unrolled = unroll(
      model,
      variables,
      frames,
      **previous_masks(model, truth, stage.previous),
      train=not stage.frozen_batch_stats,
      remat=stage.remat,
      unroll_steps=unroll_steps,
    )
    probs = jax.nn.sigmoid(unrolled.predictions.logits)
    counted = present
    # Kept here: a separate official loss would differ in nothing else.
    if not stage.official:
      counted = jnp.broadcast_to(present.any(1, keepdims=True), present.shape)
      probs *= (batch.labels != VOID)[:, :, None]
    losses, _ = clip_losses(probs, truth, counted, matched=not model.one_shot)
    loss = losses.sum()
    metrics = {"loss": loss, "soft_iou": 1 - losses.mean()}
    return loss, Outputs(metrics, unrolled.batch_stats)

  return objective


def previous_masks(
  model: nn.Module, truth: Float[AnyArray, "b t o h w"], previous: Previous
) -> dict[str, Any]:
  """Arguments of `unroll` that say what the model sees of the previous frame.

  Args:
    model: an RVOS.
    truth: masks of the objects in every frame.
    previous: the masks of the previous frame that a one-shot model sees: the "truth",
      or those that it "inferred" itself (`unroll`'s default recurrence, "fine"),
      through which no gradient passes. The first frame sees its own true masks in both
      cases; with "truth" the second frame sees those again.
  """
  if not model.one_shot:
    return {}
  return {
    "masks": truth[:, 0],
    "truth": truth if previous == "truth" else None,
    "segment_first": True,
    "stop_gradient": True,
  }


def split_objects(
  labels: ClipLabels, num_objects: int
) -> tuple[Float[Array, "b t o h w"], Bool[Array, "b t o"]]:
  """Masks of the objects 1 to `num_objects`, and the frames in which each appears."""
  ids = jnp.arange(1, num_objects + 1)[None, None, :, None, None]
  masks = jnp.asarray(labels)[:, :, None] == ids
  return masks.astype(jnp.float32), masks.any((3, 4))


def make_optimizer(model: nn.Module, stage: ConfigDict) -> optax.GradientTransformation:
  """One Adam for the backbone and one for the rest."""
  optimizer = repeated_two_adams if stage.official else two_adams
  return optimizer(model, stage)


def make_batches(
  config: ConfigDict, stage: ConfigDict, sources: Mapping[str, Source], seed: int
) -> BatchesFrom:
  """Clips that do not overlap, of videos in files, and procedural clips.

  Procedural videos are as long as a clip. Where `data.synthvos.length` says otherwise,
  a clip is sampled from each, as they are too many to be cut in advance.
  """
  procedural = [name for name in sources if feeds.is_procedural(sources[name])]
  clip_sources: dict[str, Source] = {
    name: source if name in procedural else SuccessiveClips(source, stage.clip_length)
    for name, source in sources.items()
  }
  sample: Any = clips.WholeClip()
  if config.data.synthvos.length not in (0, stage.clip_length):
    sample = clips.SampleClip(stage.clip_length, config.data.min_object_pixels)

  def transforms(name):
    choose = sample if name in procedural else clips.WholeClip()
    return (choose, *clip_transforms(stage))

  return feeds.batches(config, stage, clip_sources, seed, transforms)


def clip_transforms(stage: ConfigDict) -> tuple[Any, ...]:
  """The transforms from a clip to a sample."""
  transforms = [clips.Resize(tuple(stage.size))]
  if stage.flip:
    transforms.append(clips.RandomFlip())
  if stage.affine:
    transforms.append(affine.RandomAffine())
  return tuple(transforms)


def make_scoring(config: ConfigDict, model: nn.Module) -> Scoring:
  """By the ids of given objects; zero-shot models may be matched to them."""
  late = datasets.dataset_of(config).late
  if model.readout.one_shot:
    segment = functools.partial(segmenters.one_shot_segmenter, late=late)
    return Scoring("objects", segment, segmenters.first_mask_baseline(late))
  matched = config.evaluation.match_first_frame
  segment = functools.partial(segment_zero_shot, matched=matched, late=late)
  return Scoring("objects" if matched else "proposals", segment)


def segment_zero_shot(
  model: nn.Module, variables: Variables, *, matched: bool, late: bool = False
) -> Segment:
  """Segments videos without any mask.

  Args:
    model: a zero-shot RVOS.
    variables: of the model.
    matched: in annotated videos, slots take the ids of the objects that they match in
      each object's first frame; that frame shows the annotation itself, as in the
      released program's results. Otherwise ids are those of the slots.
    late: which objects are matched, see `object_prompts`.
  """
  segmenter = VideoSegmenter(model, jax.device_get(variables))

  def segment(video):
    results = segmenter.run(video)
    if not matched or all(video.labels(t) is None for t in range(len(video))):
      yield from (result.labels for result in results)
      return
    matcher = FirstFrameMatcher()
    for result, given in zip(results, object_prompts(video, late=late)):
      yield matcher.step(result.probs > _THRESHOLD, given)

  return segment


RECIPE = Recipe(
  objective=make_objective,
  optimizer=make_optimizer,
  batches=make_batches,
  scoring=make_scoring,
)
