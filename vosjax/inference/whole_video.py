"""A whole video through a session: frames are read and encoded ahead of their turn."""

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
    prompts: labels of new objects for each frame, or None; at least as many as there
      are frames. Frames before the first labels are background.

  Raises:
    ValueError: a frame or its labels cannot be used, or no frame of a one-shot model
      has labels. Reading a frame may raise anything else. All frames that can do
      without the faulty one have been segmented then.
  """
  with checks.naming("run"):
    first, labels = 0, next(prompts)
    while labels is None and setup.readout.one_shot:
      yield FrameResult.background(checks.read_frame(frames, first))
      first += 1
      if first == len(frames):
        raise checks.UsageError(
          "labels came with no frame, so everything is background. Give the labels of "
          "the first frame that shows an object; an iterator can serve one run only."
        )
      labels = next(prompts)
    setup, references_of = _plan_references(setup, len(frames))
    encoded = encode_video(setup.model, setup.variables, frames, first, references_of)
    session, frame = Session(setup), next(encoded)
    yield session.segment_first(frame, _checked(labels, frame))
    for frame, labels in zip(encoded, prompts):
      yield session.segment_next(frame, _checked(labels, frame))


def _checked(labels: Any, frame: EncodedFrame) -> Int[np.ndarray, "h w"] | None:
  """The labels of a frame as int32, or None."""
  if labels is None:
    return None
  return checks.check_labels(labels, frame.image.shape[:2])


def _plan_references(
  setup: Setup, length: int
) -> tuple[Setup, Callable[[int], tuple[int, ...]]]:
  """Which frames of the video are references of each frame, and a model for as many."""
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

  Features do not depend on what is segmented, so frames and their references can be
  encoded before their turn. They are dropped once no later frame needs them.

  Args:
    model: as `programs.prepare` made it.
    variables: as `programs.prepare` made them.
    frames: the video.
    first: number of the frame to begin with.
    references_of: numbers of a frame's references.

  Raises:
    UsageError: a frame is not uint8 RGB, or differs in size. Reading it may raise
      anything else.
  """
  batch_size = programs.choose_batch_size(len(frames) - first)
  size: tuple[int, int] | None = None
  images: dict[int, UInt8[np.ndarray, "h w 3"]] = {}  # of frames still to come
  features: dict[int, Features] = {}  # of these, and of the previous frame
  places: list[int] = []  # number of the frame in each reference place of the state

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
      except Exception:  # it is read again, and raises, when its turn has come
        break
      batch.append(index)
    encoded = programs.encode_each(
      model, variables, [images[i] for i in batch], batch_size
    )
    features |= zip(batch, encoded, strict=True)
    if t == first:
      places = [first] * len(wanted)  # where a new state has its first frame
    new_references = {}
    for index in sorted({*wanted} - {*places}):
      place = _free_place(places, wanted)
      places[place] = index
      new_references[place] = features[index]
    yield EncodedFrame(images.pop(t), features[t], new_references)
    features.pop(t - 1, None)


def _free_place(places: Sequence[int], wanted: Sequence[int]) -> int:
  """A place whose frame is not wanted, or is in an earlier place as well."""
  return next(
    place
    for place, frame in enumerate(places)
    if frame not in wanted or frame in places[:place]
  )
