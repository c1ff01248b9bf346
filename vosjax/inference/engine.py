"""`VideoSegmenter` segments videos of any length, with all state on the device.

It holds the model and its options; a `Session` (session.py) holds one video in
progress. `run` is a loop over a whole video (whole_video.py).
"""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import flax.linen as nn
from jaxtyping import Shaped, UInt8

from vosjax.inference import checks, programs, whole_video
from vosjax.inference.frame_result import FrameResult
from vosjax.inference.references import ALL, ReferenceCount, ReferencePolicy
from vosjax.inference.session import Session, Setup
from vosjax.models.api import TakesReferences
from vosjax.models.unroll import Recurrence
from vosjax.types import AnyArray, Variables


class VideoSegmenter:
  """Segments videos with any model, frame by frame or as a whole.

  One-shot models follow the objects of the first frame's labels; zero-shot models
  find objects by themselves. Memory use does not grow with the length of the video
  (except with references='all'). Programs are compiled once per frame size and number
  of slots: as long as slots are free, objects can come and go without recompilation.

  `start`, `step`, `add` and `remove` stream one video. Further videos can be streamed
  at the same time, each in a session of its own (`new_session`); every `run` has its
  own session, too.

  Example:
    segmenter = vosjax.VideoSegmenter(model, variables)
    segmenter.start(frames[0], first_labels)  # None for a zero-shot model
    for frame in frames[1:]:
      labels = segmenter.step(frame).labels

  Args:
    model: from `vosjax.models.build` or `vosjax.checkpoints.load`.
    variables: the model's variables. Batch normalisation is folded into the
      convolutions once, here.
    max_objects: number of object slots, which is never exceeded. None: begin with as
      many slots as the model has or as there are objects, whichever is more, and add
      more when they are needed, which recompiles. A zero-shot model finds at most this
      many objects, the first ones that it decodes. One-shot RVOS puts object k into
      slot k - 1 if that exists, and decodes empty slots as well.
    recurrence: which masks update the model's state, see `vosjax.models.decide`. With
      "aggregated" objects compete for pixels; with "fine" they do not, as in the
      official protocol of DAVIS 2016. None means "aggregated" for models whose objects
      compete and "fine" for others.
    references: number of reference frames (COSNet): 0 to 7, or "all", which only
      `run` supports. None means the model's own number.
    reference_policy: which frames become references: "uniform", "random" or
      "consecutive". `run` chooses from the whole video (`references.choose`), `start`
      and `step` from the frames seen so far (`references.StreamReferences`).
    seed: of the "random" policy.

  Raises:
    ValueError: an option is out of range, or does not apply to the model.
  """

  def __init__(
    self,
    model: nn.Module,
    variables: Variables,
    *,
    max_objects: int | None = None,
    recurrence: Recurrence | None = None,
    references: ReferenceCount | None = None,
    reference_policy: ReferencePolicy | str = "uniform",
    seed: int = 0,
  ):
    if max_objects is not None and max_objects < 1:
      raise ValueError(f"max_objects must be at least 1, not {max_objects}.")
    recurrence = checks.choose_recurrence(recurrence, model)
    references = checks.choose_references(references, reference_policy, model)
    if isinstance(model, TakesReferences) and references != ALL:
      model = model.clone(num_references=references)
    model, variables = programs.prepare(model, variables)
    self._setup = Setup(
      model=model,
      variables=variables,
      recurrence=recurrence,
      max_objects=max_objects,
      references=references,
      reference_policy=reference_policy,
      seed=seed,
    )
    self._session = self.new_session()

  @property
  def one_shot(self) -> bool:
    """Whether objects must be given by labels of the first frame."""
    return self._setup.readout.one_shot

  @property
  def object_ids(self) -> tuple[int, ...]:
    """Ids of the objects that `start` and `step` track; for a zero-shot model, of all
    that it may find."""
    return self._session.object_ids

  def new_session(self) -> Session:
    """Returns a session for one more video, with methods `start`, `step`, `add` and
    `remove` like those of the segmenter."""
    return Session(self._setup)

  def start(
    self,
    frame: UInt8[AnyArray, "h w 3"],
    labels: Shaped[AnyArray, "..."] | None = None,
  ) -> FrameResult:
    """Begins a video and forgets the previous one.

    Args:
      frame: the first frame, RGB.
      labels: object ids [h w] in this frame: 0 is background, 255 is void (ignored),
        other values are ids of objects. None for a zero-shot model.

    Raises:
      ValueError: frame or labels are unusable. The previous video can then go on.
    """
    return self._session.start(frame, labels)

  def step(
    self,
    frame: UInt8[AnyArray, "h w 3"],
    labels: Shaped[AnyArray, "..."] | None = None,
  ) -> FrameResult:
    """Segments the next frame.

    Args:
      frame: RGB, of the first frame's size.
      labels: ids [h w] of new objects in this frame, 0 elsewhere. If objects compete
        for pixels, new ones are segmented in this frame like all others, and the
        result contains their predicted masks; otherwise (RVOS) it contains the given
        ones.

    Raises:
      ValueError: frame or labels are unusable. The video can go on as if the call had
        not been made.
    """
    return self._session.step(frame, labels)

  def add(self, labels: Shaped[AnyArray, "..."]) -> None:
    """Adds objects to the latest frame, before the next one is segmented.

    Args:
      labels: ids [h w] of new objects in the latest frame, 0 elsewhere.

    Raises:
      ValueError: the labels are unusable; no object is added.
    """
    self._session.add(labels)

  def remove(self, object_id: int) -> None:
    """Forgets an object and frees its slot.

    RVOS's slots outlive their objects: a later object in the same slot inherits the
    slot's recurrent state.

    Raises:
      ValueError: the object is not tracked.
    """
    self._session.remove(object_id)

  def run(
    self,
    frames: Sequence[UInt8[AnyArray, "h w 3"]] | Any,
    labels: Shaped[AnyArray, "..."] | Sequence[Any] | Iterator[Any] | None = None,
  ) -> Iterator[FrameResult]:
    """Segments a whole video, one result at a time.

    Unlike `start` and `step`, it can encode several frames in one batch and choose
    references from the whole video. Each frame is encoded once, and its features are
    dropped when no later frame needs them, so memory grows with the video only if
    `references` is "all". The run has its own session: it neither sees nor changes
    what `start` and `step` track, and several runs can be consumed at the same time.

    Args:
      frames: the video, RGB; anything with a length and items, such as a list or an
        array. Each frame is copied when it is read, so all may be in one buffer.
      labels: those of the first frame, see `start`; or a list or iterator of the
        labels of new objects in each frame, see `step`, with None where there are
        none. It is read frame by frame and may end early. The first labels must
        contain an object; frames before them are background. None for a zero-shot
        model.

    Raises:
      ValueError: there are no frames, or labels are given to a zero-shot or not given
        to a one-shot model. An unusable frame, or its labels, raise when their turn
        comes.
    """
    with checks.prefix_errors("run"):
      checks.check_frames(frames)
      if labels is None:
        checks.require_labels_if_one_shot(self._setup.readout)
      else:
        checks.refuse_labels_if_zero_shot(self._setup.readout)
    prompts = labels if isinstance(labels, list | tuple | Iterator) else [labels]
    return whole_video.segment(
      self._setup, frames, itertools.chain(prompts, itertools.repeat(None))
    )
