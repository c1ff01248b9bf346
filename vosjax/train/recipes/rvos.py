"""RVOS: all objects of a video, with or without their masks in the first frame."""

import functools
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float
from ml_collections import ConfigDict

from vosjax.data.transforms import affine, clips
from vosjax.data.video import VOID, Source
from vosjax.evaluation.first_frame_matching import FirstFrameMatcher
from vosjax.evaluation.prompts import given_labels
from vosjax.inference.engine import VideoSegmenter
from vosjax.models.unroll import encode_clip
from vosjax.train import feeds
from vosjax.train.optimizers.two_adams import two_adams
from vosjax.train.recipe import Batches, Objective, Outputs, Recipe, Scoring, Segment
from vosjax.train.recipes.official.two_adams import repeated_two_adams
from vosjax.train.recipes.rvos_clips import Previous, clip_losses, decode_clip
from vosjax.train.scoring import datasets, segmenters
from vosjax.types import Labels, Variables

_THRESHOLD = 0.5  # of the probability of a proposal's pixels


def objective(
  model: nn.Module,
  *,
  previous: Previous = "truth",
  official: bool = False,
  remat: bool = False,
  unroll_steps: int | bool = 1,
) -> Objective:
  """The soft IoU loss of each frame, summed over the clip; nothing is truncated.

  The object of id k stands in slot k - 1, for which a one-shot model must find it; a
  zero-shot one may find it in any slot. Ids beyond the slots are background.

  Args:
    model: an RVOS; `num_objects` slots are decoded.
    previous: which masks a one-shot model sees of the frame before, see `decode_clip`.
    official: as the released program does on DAVIS: an object counts only in frames
      that show it, and whether a slot counts is asked by the object of the same
      number, even where the slot was matched to another; void is background.
      Otherwise objects of any frame of the clip count in all, and void in none.
    remat: recompute frames in the backward pass.
    unroll_steps: frames per iteration of the scan; True: all.
  """

  def loss_of(variables, batch, key):
    del key  # nothing in this model is random
    frames = batch.frames.astype(jnp.float32) / 255
    truth, shown = split_objects(batch.labels, model.num_objects)
    features, stats = encode_clip(model, variables, frames, train=True)
    probs = decode_clip(
      model,
      variables,
      features,
      truth,
      previous=previous,
      remat=remat,
      unroll_steps=unroll_steps,
    )
    valid = shown
    if not official:
      valid = jnp.broadcast_to(shown.any(1, keepdims=True), shown.shape)
      probs *= (batch.labels != VOID)[:, :, None]
    losses, _ = clip_losses(probs, truth, valid, matched=not model.one_shot)
    loss = losses.sum()
    return loss, Outputs({"loss": loss, "soft_iou": 1 - losses.mean()}, stats)

  return loss_of


def split_objects(
  labels: Labels, num_objects: int
) -> tuple[Float[Array, "b t o h w"], Bool[Array, "b t o"]]:
  """Masks of the objects 1 to `num_objects`, and which frames show them."""
  ids = jnp.arange(1, num_objects + 1)[None, None, :, None, None]
  masks = jnp.asarray(labels)[:, :, None] == ids
  return masks.astype(jnp.float32), masks.any((3, 4))


def _objective(model: nn.Module, stage: ConfigDict) -> Objective:
  unroll = stage.unroll_steps or jax.default_backend() == "cpu"
  return objective(
    model.clone(unroll_objects=unroll),
    previous=stage.previous,
    official=stage.official,
    remat=stage.remat,
    unroll_steps=unroll,
  )


def clip_transforms(stage: ConfigDict) -> tuple[Any, ...]:
  """The transforms of a clip, from the video that holds it alone to a sample."""
  steps = [affine.WholeClip(), clips.Resize(tuple(stage.size))]
  if stage.flip:
    steps.append(clips.RandomFlip())
  if stage.affine:
    steps.append(affine.RandomAffine())
  return tuple(steps)


def _batches(
  config: ConfigDict, stage: ConfigDict, sources: Mapping[str, Source]
) -> Batches:
  """Clips that do not overlap; procedural videos are as long as a clip already."""
  clip_sources: dict[str, Source] = {
    name: source
    if feeds.is_procedural(source)
    else affine.SuccessiveClips(source, stage.clip_length)
    for name, source in sources.items()
  }
  return feeds.batches(config, stage, clip_sources, lambda _: clip_transforms(stage))


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
    late: which objects are matched, see `given_labels`.
  """
  segmenter = VideoSegmenter(model, jax.device_get(variables))

  def segment(video):
    results = segmenter.run(segmenters.Frames(video))
    if not matched or all(video.labels(t) is None for t in range(len(video))):
      yield from (result.labels for result in results)
      return
    matcher = FirstFrameMatcher()
    for result, given in zip(results, given_labels(video, late=late)):
      yield matcher.step(result.probs > _THRESHOLD, given)

  return segment


def _scoring(config: ConfigDict, model: nn.Module) -> Scoring:
  """By the ids of given objects; zero-shot models may be matched to them."""
  late = datasets.dataset_of(config).late
  if model.readout.one_shot:
    segment = functools.partial(segmenters.one_shot_segmenter, late=late)
    return Scoring("objects", segment, segmenters.first_mask_baseline(late))
  matched = config.evaluation.match_first_frame
  segment = functools.partial(segment_zero_shot, matched=matched, late=late)
  return Scoring("objects" if matched else "proposals", segment)


def _optimizer(model: nn.Module, stage: ConfigDict) -> optax.GradientTransformation:
  optimizer = repeated_two_adams if stage.official else two_adams
  return optimizer(model, stage)


RECIPE = Recipe(_objective, _optimizer, _batches, _scoring)
