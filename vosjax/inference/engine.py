"""`VideoSegmenter` segments videos of any length, with all state on the device.

It holds the model and its options; a `Session` (session.py) holds one video in
progress. `run` is a loop over a whole video (whole_video.py).
"""

import itertools
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import flax.linen as nn
from jaxtyping import Shaped, UInt8

from vosjax.inference import both_ways, checks, programs, saved, whole_video
from vosjax.inference.frame_result import FrameResult
from vosjax.inference.prompts import (
  Direction,
  check_numbers,
  choose_direction,
  plan,
)
from vosjax.inference.references import ALL, ReferenceCount, ReferencePolicy
from vosjax.inference.session import Session
from vosjax.inference.setup import Setup
from vosjax.models.api import TakesReferences
from vosjax.models.execution import with_execution
from vosjax.models.unroll import Recurrence
from vosjax.types import AnyArray, Variables


class VideoSegmenter:
  """Segments videos with any model, frame by frame or as a whole.

  One-shot models follow the objects of the first frame's labels; zero-shot models
  find objects by themselves. Memory use does not grow with the length of the video
  (except with references='all'). Programs are compiled once per frame size and number
  of slots: as long as slots are free, objects can come and go without recompilation.

  `start`, `step`, `add`, `correct` and `remove` stream one video. Further videos can be
  streamed at the same time, each in a session of its own (`new_session`); every `run`
  has its own session, too.

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
    dtype: of the convolutions, "float32" or "bfloat16"; None: as the model says.
      Recurrent states, statistics, affinities and logits stay in float32. bfloat16 is
      faster on accelerators, and slower on most CPUs.

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
    dtype: str | None = None,
  ):
    if max_objects is not None and max_objects < 1:
      raise ValueError(f"max_objects must be at least 1, not {max_objects}.")
    recurrence = checks.choose_recurrence(recurrence, model)
    references = checks.choose_references(references, reference_policy, model)
    if isinstance(model, TakesReferences) and references != ALL:
      model = model.clone(num_references=references)
    if dtype is not None:
      model = with_execution(model, dtype=checks.choose_dtype(dtype))
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
    """Returns a session for one more video, with methods `start`, `step`, `add`,
    `correct` and `remove` like those of the segmenter."""
    return Session(self._setup)

  def load_session(self, path: str | os.PathLike) -> Session:
    """Reads a session that `Session.save` wrote.

    It goes on with `step`, or with `run(..., session=session)` from the frame after its
    latest one, and its results are those of an uninterrupted video.

    Raises:
      ValueError: the file is damaged, or was saved with another model, weights or
        options.
      OSError: the file cannot be read.
    """
    with checks.prefix_errors("load_session"):
      session = self.new_session()
      saved.load(session, path)
      return session

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

  def correct(
    self,
    labels: Shaped[AnyArray, "..."] | None = None,
    *,
    absent: Collection[int] = (),
  ) -> FrameResult:
    """Says where tracked objects really are in the latest frame.

    The model fits its state of these objects anew, to what is shown here, and tracking
    goes on from there. Others are left alone, except that they lose the pixels where
    the corrected objects are. Needs a one-shot model.

    Example:
      result = segmenter.step(frame)
      result = segmenter.correct(np.where(mask, 2, 0))  # object 2 is here
      result = segmenter.correct(absent=[3])  # object 3 is hidden, or out of sight

    Args:
      labels: ids [h w] of the corrected objects, complete, and 0 elsewhere. Where they
        are 255 (void), the objects remain as they were segmented. None: no object is
        shown.
      absent: ids of objects that are not in this frame. They are looked for in the
        frames that follow.

    Returns:
      The corrected result of the latest frame. Pixels that an object loses are
      background.

    Raises:
      ValueError: the labels are unusable, an object is not tracked, or the model is
        zero-shot; nothing is corrected.
    """
    return self._session.correct(labels, absent=absent)

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
    *,
    prompts: Mapping[Any, Any] | None = None,
    direction: Direction | str | None = None,
    session: Session | None = None,
  ) -> Iterator[FrameResult]:
    """Segments a whole video, one result at a time, in the order of frames.

    Unlike `start` and `step`, it can encode several frames in one batch and choose
    references from the whole video. Each frame is encoded once (in each direction), and
    its features are dropped when no later frame needs them, so memory grows with the
    video only if `references` is "all". The run has its own session: it neither sees
    nor changes what `start` and `step` track, and several runs can be consumed at the
    same time.

    Frames can be given anywhere in the video, by `prompts`. `prompts.plan` says what
    each of them does:

    - "forward": an object is followed from the first frame in which it is given to the
      end; further prompts that show it correct it.
    - "backward": the same, from the last frame to the first.
    - "both": an object is followed from the nearest given frames, both ways. Between
      two of its given frames, its probabilities in both passes are mixed linearly by
      distance. The backward pass comes before the first result, which costs its time;
      its results wait in a temporary file.

    Args:
      frames: the video, RGB; anything with a length and items, such as a list or an
        array. Each frame is copied when it is read, so all may be in one buffer.
      labels: those of the first frame, see `start`; or a list or iterator of the
        labels of new objects in each frame, see `step`, with None where there are
        none. It is read frame by frame and may end early. The first labels must
        contain an object; frames before them are background. None for a zero-shot
        model.
      prompts: instead of `labels`, the labels [h w] of any frames by their number.
        They may show any objects, whose result in this frame is what is given; each is
        read at least twice, so a mapping that reads files may be slow.
      direction: of `prompts`. None means "forward" if only the first frame is given,
        and "both" otherwise.
      session: from `new_session`, to save it between two results; or from
        `load_session`, in which case the results are those of the remaining frames.
        Needs the forward direction.

    Raises:
      ValueError: there are no frames, or labels are given to a zero-shot or not given
        to a one-shot model; a prompt shows no object or belongs to no frame. An
        unusable frame, or its labels, raise when their turn comes.
    """
    readout = self._setup.readout
    with checks.prefix_errors("run"):
      checks.check_frames(frames)
      if labels is None and prompts is None:
        checks.require_labels_if_one_shot(readout)
      else:
        checks.refuse_labels_if_zero_shot(readout)
      if prompts is None:
        if direction not in (None, "forward"):
          raise checks.UsageError(
            f"direction is {direction!r}, which needs prompts, such as {{0: labels}}."
          )
      else:
        return self._run_prompts(frames, labels, prompts, direction, session)
    in_frames = labels if isinstance(labels, list | tuple | Iterator) else [labels]
    return whole_video.segment(
      self._setup,
      frames,
      itertools.chain(in_frames, itertools.repeat(None)),
      session=session,
    )

  def _run_prompts(
    self,
    frames: Any,
    labels: Any,
    prompts: Mapping[Any, Any],
    direction: Direction | str | None,
    session: Session | None,
  ) -> Iterator[FrameResult]:
    """The part of `run` that is about prompts."""
    if labels is not None:
      raise checks.UsageError("labels and prompts are both given; choose one.")
    check_numbers(prompts, len(frames))
    chosen = choose_direction(direction, prompts)
    planned = plan(prompts, chosen)
    if chosen == "forward" or max(prompts) == 0 and chosen == "both":
      given = (prompts.get(t) for t in range(len(frames)))
      return whole_video.segment(self._setup, frames, given, give=True, session=session)
    if session is not None:
      raise checks.UsageError(
        f"session is given, but the direction is {chosen!r}; only a forward run can "
        "be saved and resumed."
      )
    return both_ways.segment(self._setup, frames, prompts, planned, chosen)
