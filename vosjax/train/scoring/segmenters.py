"""How a one-shot model segments a video for scoring, and what it is compared with."""

import functools
from collections.abc import Iterator
from typing import Any

import flax.linen as nn
import jax
import numpy as np
from jaxtyping import UInt8

from vosjax.data.video import Video
from vosjax.evaluation.prompts import object_prompts
from vosjax.inference.engine import VideoSegmenter
from vosjax.train.recipe import Baselines, Segment
from vosjax.types import Variables


def one_shot_segmenter(
  model: nn.Module, variables: Variables, *, late: bool = False, **options: Any
) -> Segment:
  """Segments videos whose objects are given by masks.

  Frames before the first object are background, and the model does not see them.

  Args:
    model: a one-shot model.
    variables: of the model.
    late: see `object_prompts`.
    **options: see `VideoSegmenter`.
  """
  segmenter = VideoSegmenter(model, jax.device_get(variables), **options)

  def segment(video):
    results = segmenter.run(video, object_prompts(video, late=late))
    return (result.labels for result in results)

  return segment


def copy_first_mask(
  video: Video, *, late: bool = False
) -> Iterator[UInt8[np.ndarray, "h w"]]:
  """The baseline that leaves each object where it was given, see `object_prompts`."""
  labels = np.zeros(video.frame(0).shape[:2], np.uint8)
  for given in object_prompts(video, late=late):
    if given is not None:
      labels = np.where(given == 0, labels, given)  # a prompt holds no void
    yield labels


def first_mask_baseline(late: bool) -> Baselines:
  """The baseline of one-shot models: `copy_first_mask`."""

  def baselines(model, variables):
    del model, variables
    return {"copy the first mask": functools.partial(copy_first_mask, late=late)}

  return baselines
