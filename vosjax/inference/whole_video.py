"""Segments a whole video in one session, reading and encoding frames in batches.

`segment` puts together what happens to a frame:

1. `encode_video` reads it, ahead of its turn if it fills up a batch or is a reference
   of an earlier frame, and encodes the batch. When the frame's turn comes, it yields
   the frame with its features, and with the features of references that are new to the
   model's state.
2. `Session.segment_first` or `segment_next` segments it.
3. `encode_video` drops its features once no later frame needs them.
"""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import flax.linen as nn
import jax
import numpy as np
from jaxtyping import Int, UInt8

from vosjax.inference import checks, programs, references
from vosjax.inference.frame_result import FrameResult
from vosjax.inference.session import CheckedFrame, Session
from vosjax.inference.setup import Setup
from vosjax.models.api import Features, TakesReferences
from vosjax.types import AnyArray, Variables

FrameSequence = Sequence[UInt8[AnyArray, "h w 3"]] | Any  # has a length and items


def segment(
  setup: Setup,
  frames: FrameSequence,
  prompts: Iterator[Any],
  *,
  give: bool = False,
  session: Session | None = None,
) -> Iterator[FrameResult]:
  """Segments every frame of a video.

  Args:
    setup: model and options.
    frames: the video.
    prompts: for each frame, the labels of new objects or None; at least as many items
      as frames. Frames before the first labels are background.
    give: labels may also contain known objects, which they correct; the results of
      frames with labels show objects as they are given.
    session: a new one, or one in progress, which goes on with the frame after its
      latest one. None: a new one.

  Raises:
    ValueError: a frame or its labels are unusable, or a one-shot model gets no labels
      at all. Other errors of reading a frame pass through. The results of all frames
      that do not depend on the faulty one come first.
  """
  with checks.prefix_errors("run"):
    setup, references_of = _plan_references(setup, len(frames))
    session = Session(setup) if session is None else session
    session.setup = setup
    first = 0 if session.frame_number is None else session.frame_number + 1
    begun = first > 0
    prompts = itertools.islice(prompts, first, None)
    if not begun:
      labels = next(prompts)
      while labels is None and setup.readout.one_shot:
        yield FrameResult.background(checks.read_frame(frames, first))
        first += 1
        if first == len(frames):
          raise checks.UsageError(
            "no frame has labels, so everything is background. Give the labels of the "
            "first frame that shows an object. An iterator can be used for one run "
            "only."
          )
        labels = next(prompts)
    # Which references a session in progress holds is not known, so all are replaced.
    places = [-1] * len(references_of(0)) if begun else None
    encoded = encode_video(
      setup.model, setup.variables, frames, first, references_of, places
    )
    if not begun:
      frame = next(encoded)
      result = session.segment_first(frame, _check_labels(labels, frame))
      session.frame_number = first
      yield result
    for frame, labels in zip(encoded, prompts):
      labels = _check_labels(labels, frame)
      result = session.segment_next(frame, None if give else labels)
      if give and labels is not None:
        result = session.give(labels, checks.require_ids(labels))
      yield result


def _plan_references(
  setup: Setup, length: int
) -> tuple[Setup, Callable[[int], tuple[int, ...]]]:
  """Chooses the references of each frame, and adapts the model to their number.

  Returns:
    The setup with this model, and a function from the number of a frame to those of its
    references.
  """
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
  frames: FrameSequence,
  first: int,
  references_of: Callable[[int], tuple[int, ...]],
  places: list[int] | None = None,
) -> Iterator[CheckedFrame]:
  """Yields the frames of a video in order, each encoded once and in a batch.

  Features do not depend on the segmentation, so frames and their references can be
  encoded ahead. They are dropped once no later frame needs them.

  Args:
    model: from `programs.prepare`.
    variables: from `programs.prepare`.
    frames: the video.
    first: number of the frame to begin with.
    references_of: returns the numbers of a frame's references.
    places: number of the frame in each of the state's places for references; None: the
      first frame, everywhere.

  Raises:
    UsageError: a frame is not uint8 RGB, or differs in size. Other errors of reading
      it pass through.
  """
  # A session that goes on has the batches of one that was never interrupted.
  length = len(frames) - first if places is None else len(frames)
  encoder = _Encoder(model, variables, frames, choose_batch_size(length))
  if places is None:  # as in a new state
    places = [first] * len(references_of(first))
  for t in range(first, len(frames)):
    wanted = references_of(t)
    new_references = sorted({*wanted} - {*places})
    encoder.ensure_encoded(t, new_references)
    references_by_place = {}
    for number in new_references:
      place = _free_place(places, wanted)
      places[place] = number
      references_by_place[place] = encoder.features[number]
    image, features = encoder.images.pop(t), encoder.features[t]
    yield CheckedFrame(image, features, references_by_place, encoder.batch_size)
    # Frame t - 1 may have become a reference at t, but never does later.
    encoder.features.pop(t - 1, None)


class _Encoder:
  """Reads and encodes frames of a video, each once, and in full batches.

  Args:
    model: from `programs.prepare`.
    variables: from `programs.prepare`.
    frames: the video.
    batch_size: how many frames are encoded together.

  Attributes:
    images: frames that have been encoded, by number. The caller drops them.
    features: of frames that have been encoded, by number. The caller drops them.
    batch_size: as given.
  """

  def __init__(
    self,
    model: nn.Module,
    variables: Variables,
    frames: FrameSequence,
    batch_size: int,
  ):
    self.images: dict[int, UInt8[np.ndarray, "h w 3"]] = {}
    self.features: dict[int, Features] = {}
    self._model, self._variables, self.batch_size = model, variables, batch_size
    self._frames = frames
    self._size: tuple[int, int] | None = None  # known when a frame has been read

  def ensure_encoded(self, t: int, new_references: Sequence[int]) -> None:
    """Encodes frame t and its new references, as far as they have not been encoded.

    Frames after t fill up the batch.
    """
    batch = sorted({t, *new_references} - {*self.features})
    for number in batch:
      self._read(number)
    known = {*self.features, *batch}
    later = (n for n in range(t + 1, len(self._frames)) if n not in known)
    for number in itertools.islice(later, -len(batch) % self.batch_size):
      try:
        self._read(number)
      except Exception:  # it is read again, and raises, when its turn comes
        break
      batch.append(number)
    images = [self.images[number] for number in batch]
    encoded = encode_each(self._model, self._variables, images, self.batch_size)
    self.features |= zip(batch, encoded, strict=True)

  def _read(self, number: int) -> None:
    image = checks.read_frame(self._frames, number, self._size)
    self._size = image.shape[:2]
    self.images[number] = image


def choose_batch_size(num_frames: int) -> int:
  """Chooses how many frames of a video to encode in one batch.

  On CPU, batches of two are a sixth faster than single frames if the network is small
  (RVOS with 16 channels at 96x160: 1.9 instead of 2.2 ms per frame) and no slower if it
  is large. The batch size of eight elsewhere has not been tuned.
  """
  return min(num_frames, 2 if jax.default_backend() == "cpu" else 8)


def encode_each(
  model: nn.Module,
  variables: Variables,
  frames: Sequence[UInt8[AnyArray, "h w 3"]],
  batch_size: int,
) -> Iterator[Features]:
  """Encodes frames in batches and yields the features of each.

  The last batch is padded with its last frame, so that only one size is compiled.
  """
  for start in range(0, len(frames), batch_size):
    batch = list(frames[start : start + batch_size])
    padded = batch + batch[-1:] * (batch_size - len(batch))
    encoded = programs.encode_frames(model, variables, np.stack(padded))
    yield from encoded[: len(batch)]


def _free_place(places: Sequence[int], wanted: Sequence[int]) -> int:
  """The first place whose frame is not wanted, or is in an earlier place as well."""
  return next(
    place
    for place, number in enumerate(places)
    if number not in wanted or number in places[:place]
  )


def _check_labels(labels: Any, frame: CheckedFrame) -> Int[np.ndarray, "h w"] | None:
  """Checks the labels of a frame, if any."""
  if labels is None:
    return None
  return checks.check_labels(labels, frame.image.shape[:2])
