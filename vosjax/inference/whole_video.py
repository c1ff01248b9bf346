"""Segments a whole video in one session, reading and encoding frames in batches."""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import flax.linen as nn
import numpy as np
from jaxtyping import Int, UInt8

from vosjax.inference import checks, programs, references
from vosjax.inference.frame_result import FrameResult
from vosjax.inference.session import EncodedFrame, Session, Setup
from vosjax.models.api import Features, TakesReferences
from vosjax.types import AnyArray, Variables

Frames = Sequence[UInt8[AnyArray, "h w 3"]] | Any  # anything with a length and items


def segment(
  setup: Setup, frames: Frames, prompts: Iterator[Any]
) -> Iterator[FrameResult]:
  """Segments every frame of a video.

  Args:
    setup: model and options.
    frames: the video.
    prompts: for each frame, the labels of new objects or None; at least as many items
      as frames. Frames before the first labels are background.

  Raises:
    ValueError: a frame or its labels are unusable, or a one-shot model gets no labels
      at all. Other errors of reading a frame pass through. The results of all frames
      that do not depend on the faulty one come first.
  """
  with checks.prefix_errors("run"):
    first, labels = 0, next(prompts)
    while labels is None and setup.readout.one_shot:
      yield FrameResult.background(checks.read_frame(frames, first))
      first += 1
      if first == len(frames):
        raise checks.UsageError(
          "no frame has labels, so everything is background. Give the labels of the "
          "first frame that shows an object. An iterator can be used for one run only."
        )
      labels = next(prompts)
    setup, references_of = _plan_references(setup, len(frames))
    encoded = encode_video(setup.model, setup.variables, frames, first, references_of)
    session, frame = Session(setup), next(encoded)
    yield session.segment_first(frame, _checked(labels, frame))
    for frame, labels in zip(encoded, prompts):
      yield session.segment_next(frame, _checked(labels, frame))


def _checked(labels: Any, frame: EncodedFrame) -> Int[np.ndarray, "h w"] | None:
  """Checks the labels of a frame, if any."""
  if labels is None:
    return None
  return checks.check_labels(labels, frame.image.shape[:2])


def _plan_references(
  setup: Setup, length: int
) -> tuple[Setup, Callable[[int], tuple[int, ...]]]:
  """Chooses the references of each frame, and adapts the model to their number."""
  model = setup.model
  if not isinstance(model, TakesReferences):
    return setup, lambda _: ()
  references_of = functools.partial(
    references.choose,
    setup.reference_policy,
    setup.references,
    length,
    seed=setup.seed,
  )
  model = model.clone(num_references=len(references_of(0)))  # the same for all frames
  return dataclasses.replace(setup, model=model), references_of


def encode_video(
  model: nn.Module,
  variables: Variables,
  frames: Frames,
  first: int,
  references_of: Callable[[int], tuple[int, ...]],
) -> Iterator[EncodedFrame]:
  """Encodes each frame once, several in one batch.

  Features do not depend on the segmentation, so frames and their references can be
  encoded ahead. They are dropped once no later frame needs them.

  Args:
    model: from `programs.prepare`.
    variables: from `programs.prepare`.
    frames: the video.
    first: number of the frame to begin with.
    references_of: returns the numbers of a frame's references.

  Raises:
    UsageError: a frame is not uint8 RGB, or differs in size. Other errors of reading
      it pass through.
  """
  batch_size = programs.choose_batch_size(len(frames) - first)
  size: tuple[int, int] | None = None
  images: dict[
    int, UInt8[np.ndarray, "h w 3"]
  ] = {}  # of frames that are yet to be yielded
  features: dict[int, Features] = {}  # of these, and of the latest one
  places: list[int] = []  # frame number of each reference in the model's state

  def read(index):
    nonlocal size
    images[index] = checks.read_frame(frames, index, size)
    size = images[index].shape[:2]

  for t in range(first, len(frames)):
    wanted = references_of(t)
    batch = sorted({t, *wanted} - {*features, *places})
    for index in batch:
      read(index)
    ready = {*features, *places, *batch}
    later = (i for i in range(t + 1, len(frames)) if i not in ready)
    for index in itertools.islice(later, -len(batch) % batch_size):
      try:
        read(index)
      except Exception:  # it is read again, and raises, when its turn comes
        break
      batch.append(index)
    encoded = programs.encode_each(
      model, variables, [images[i] for i in batch], batch_size
    )
    features |= zip(batch, encoded, strict=True)
    if t == first:
      places = [first] * len(wanted)  # a new state has its first frame everywhere
    new_references = {}
    for index in sorted({*wanted} - {*places}):
      place = _free_place(places, wanted)
      places[place] = index
      new_references[place] = features[index]
    yield EncodedFrame(images.pop(t), features[t], new_references)
    features.pop(t - 1, None)


def _free_place(places: Sequence[int], wanted: Sequence[int]) -> int:
  """The first place whose frame is not wanted, or is in an earlier place as well."""
  return next(
    place
    for place, frame in enumerate(places)
    if frame not in wanted or frame in places[:place]
  )
