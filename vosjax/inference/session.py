"""`Session`: one video in progress, separate from the model that segments it."""

import dataclasses
import os
from collections.abc import Collection, Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Int, Shaped, UInt8

from vosjax.inference import checks, programs, saved
from vosjax.inference.frame_result import FrameResult
from vosjax.inference.painting import Ranking
from vosjax.inference.references import ALL, StreamReferences
from vosjax.inference.setup import Setup
from vosjax.inference.slots import Slots
from vosjax.labels import VOID, find_ids
from vosjax.models.api import Features, KeepsSlots, State, TakesReferences
from vosjax.types import AnyArray


class CheckedFrame(NamedTuple):
  """A frame that is ready to be segmented: checked, and perhaps encoded.

  Attributes:
    image: RGB.
    features: the model's encoding of it; None: one program encodes and segments it.
    references: features of new reference frames, which this frame and later ones are
      compared with, by their place in the model's state.
    batch_size: how many frames were encoded together; None: this one alone.
  """

  image: UInt8[np.ndarray, "h w 3"]
  features: Features | None = None
  references: Mapping[int, Features] = {}
  batch_size: int | None = None


@dataclasses.dataclass(eq=False)
class Session:
  """One video in progress.

  `VideoSegmenter.new_session` and `whole_video.segment` create it.

  Sessions share the segmenter's model and compiled programs and nothing else, so any
  number of videos can be in progress at the same time.

  `start`, `step`, `add`, `correct` and `remove` are for users. They check their
  arguments. `segment_first`, `segment_next` and `give` take what is checked, from these
  methods or `whole_video`, which also encodes frames ahead.

  Attributes:
    setup: shared with the segmenter's other sessions.
    frame: the latest frame; None before the first one.
    frame_number: its number in the video; of a stream, that of its first frame is 0.
    features: of that frame; None in a loaded session until something needs them.
    batch_size: how many frames were encoded together with it; None: it alone.
    result: of that frame.
    state: of the model, for a batch of one video.
    slots: which object is in which slot.
    ranking: which object wins an overlap; None unless the model keeps slots.
    stream_references: which of the frames seen so far are references; None unless
      the session is streamed (`start`, `step`) and the model takes references.
  """

  setup: Setup
  frame: UInt8[np.ndarray, "h w 3"] | None = None
  frame_number: int | None = None
  features: Features = None
  batch_size: int | None = None
  result: FrameResult | None = None
  state: State = None
  slots: Slots = dataclasses.field(default_factory=lambda: Slots(0))
  ranking: Ranking | None = None
  stream_references: StreamReferences | None = None

  @property
  def object_ids(self) -> tuple[int, ...]:
    """Ids of the objects that are tracked; for a zero-shot model, all it may find."""
    return self.slots.ids

  def start(
    self,
    frame: UInt8[AnyArray, "h w 3"],
    labels: Shaped[AnyArray, "..."] | None = None,
  ) -> FrameResult:
    """Begins a video, see `VideoSegmenter.start`."""
    setup = self.setup
    with checks.prefix_errors("start"):
      frame = checks.check_frame(frame)
      if labels is None:
        checks.require_labels_if_one_shot(setup.readout)
      else:
        checks.refuse_labels_if_zero_shot(setup.readout)
        labels = checks.check_labels(labels, frame.shape[:2])
      if setup.references == ALL:
        raise checks.UsageError(
          "references='all' needs the whole video. Use run(frames), or a number."
        )
      result = self.segment_first(_copy_frame(frame), labels)
    if isinstance(setup.model, TakesReferences):
      self.stream_references = StreamReferences(
        setup.reference_policy, setup.references, seed=setup.seed
      )
    return result

  def step(
    self,
    frame: UInt8[AnyArray, "h w 3"],
    labels: Shaped[AnyArray, "..."] | None = None,
  ) -> FrameResult:
    """Segments the next frame, see `VideoSegmenter.step`."""
    with checks.prefix_errors("step"):
      self._require_started()
      frame = checks.check_frame(frame)
      checks.check_size(frame, self._size)
      if labels is not None:
        checks.refuse_labels_if_zero_shot(self.setup.readout)
        labels = checks.check_labels(labels, self._size)
      given = _copy_frame(frame)
      if self.stream_references is not None:
        # The previous frame can be a reference from now on.
        place = self.stream_references.add_frame()
        if place is not None:
          given = given._replace(references={place: self._known_features()})
      return self.segment_next(given, labels)

  def add(self, labels: Shaped[AnyArray, "..."]) -> None:
    """Adds the objects of `labels`, see `VideoSegmenter.add`."""
    with checks.prefix_errors("add"):
      self._require_started()
      checks.refuse_labels_if_zero_shot(self.setup.readout)
      labels = checks.check_labels(labels, self._size)
      ids = checks.require_ids(labels)
      self._add_objects(labels, ids, self._known_features())
      assert self.result is not None
      self.result = self.result.with_given(labels, ids)

  def correct(
    self,
    labels: Shaped[AnyArray, "..."] | None = None,
    *,
    absent: Collection[int] = (),
  ) -> FrameResult:
    """Corrects objects in the latest frame, see `VideoSegmenter.correct`."""
    with checks.prefix_errors("correct"):
      self._require_started()
      checks.refuse_corrections_if_zero_shot(self.setup.readout)
      if labels is None:
        labels = np.zeros(self._size, np.int32)
      labels = checks.check_labels(labels, self._size)
      ids = checks.require_corrected_ids(labels, absent, self.slots.ids)
      return self.give(labels, ids)

  def remove(self, object_id: int) -> None:
    """Forgets an object, see `VideoSegmenter.remove`."""
    with checks.prefix_errors("remove"):
      self.slots.remove(object_id)

  def save(self, path: str | os.PathLike) -> None:
    """Writes the video in progress to a file, from which it can go on.

    `VideoSegmenter.load_session` reads it. It holds what is remembered of the video,
    some tens of megabytes, but neither weights nor frames other than the latest one,
    whose features are computed again if they are needed.

    Raises:
      ValueError: no video is in progress.
      OSError: the file cannot be written; one that exists is unchanged.
    """
    with checks.prefix_errors("save"):
      saved.save(self, path)

  def _require_started(self) -> None:
    """Refuses a call before `start`."""
    if self.frame is None:
      raise checks.UsageError(
        "no video is in progress. Call start() with the first frame."
      )

  @property
  def _size(self) -> tuple[int, int]:
    """Original (height, width) of the frames."""
    assert self.frame is not None
    height, width, _ = self.frame.shape
    return height, width

  def _encode(self, frame: CheckedFrame) -> Features:
    """The features of a frame, encoded here unless they are known."""
    if frame.features is not None:
      return frame.features
    setup = self.setup
    return programs.encode(setup.model, setup.variables, frame.image[None])

  def _known_features(self) -> Features:
    """Features of the latest frame.

    Those of a loaded session are computed here, by the program that computed them when
    it was saved: others may round differently.
    """
    if self.features is None:
      setup, frame = self.setup, self.frame
      assert frame is not None
      if self.batch_size is None:
        self.features = self._encode(CheckedFrame(frame))
      else:
        batch = np.stack([frame] * self.batch_size)
        self.features = programs.encode_frames(setup.model, setup.variables, batch)[0]
    return self.features

  def segment_first(
    self, frame: CheckedFrame, labels: Int[np.ndarray, "h w"] | None
  ) -> FrameResult:
    """Begins a video.

    Args:
      frame: the first one with an object.
      labels: its labels, checked; None for zero-shot models.

    Raises:
      UsageError: the labels contain no object, or more than `max_objects`. The
        previous video can then go on.
    """
    setup, num_slots = self.setup, self.setup.readout.num_slots
    if labels is None:
      assert num_slots is not None, "zero-shot models have a fixed number of slots"
      slots = Slots(num_slots)
      slots.add(range(1, min(num_slots, setup.max_objects or num_slots) + 1))
      slot_labels, ranking = None, None
    else:
      ids = checks.require_ids(labels)
      slots = Slots(
        setup.max_objects or max(len(ids), num_slots or 0),
        by_id=isinstance(setup.model, KeepsSlots),
      )
      slots.add(ids)
      slot_labels = slots.to_slot_labels(labels, ids)
      ranking = Ranking() if slots.by_id else None

    features = self._encode(frame)
    # Nothing is refused from here on: the previous video is forgotten.
    self.frame, self.features = frame.image, features
    self.batch_size = frame.batch_size
    self.slots, self.ranking, self.stream_references = slots, ranking, None
    self.frame_number = 0
    self.state = programs.init_slots(
      setup.model,
      self._size,
      setup.variables,
      None,
      self.features,
      slot_labels,
      slots.active,
    )
    if labels is None:
      self.result = self._segment(frame)
      return self.result
    if ranking is not None:
      # The first frame is decoded to initialise the slots' recurrent state and to rank
      # the objects. The second frame then sees the given masks again, and empty masks
      # in free slots.
      self._rank(self._segment(frame), ids, labels)
      self.state = programs.insert(
        setup.model,
        self._size,
        setup.variables,
        self.state,
        slot_labels,
        np.ones_like(slots.active),
      )
    self.result = FrameResult.from_labels(frame.image, labels, slots.ids, slots.used)
    return self.result

  def segment_next(
    self, frame: CheckedFrame, labels: Int[np.ndarray, "h w"] | None
  ) -> FrameResult:
    """Segments the next frame.

    Args:
      frame: the next one.
      labels: new objects in this frame, checked; None if there are none.

    Raises:
      UsageError: an object is tracked already, or too few slots are free. The video
        can go on as if the frame had not been given.
    """
    ids = () if labels is None else find_ids(labels)
    if labels is not None and ids:
      self._add_objects(labels, ids, self._encode(frame))
    assert self.frame_number is not None
    result = self._segment(frame)
    self.frame, self.batch_size = frame.image, frame.batch_size
    self.frame_number += 1
    if labels is not None and ids and self.ranking is not None:
      # The model keeps slots: the annotation of a new object overrides predictions.
      self._rank(result, ids, labels)
      annotated = np.isin(labels, ids)
      result.labels[annotated] = labels[annotated]
    self.result = result
    return result

  def give(self, labels: Int[np.ndarray, "h w"], ids: Collection[int]) -> FrameResult:
    """Sets objects of the latest frame as they really are; new ones are added.

    Args:
      labels: checked. In void pixels, objects are where they were segmented.
      ids: the objects that are given; those without a pixel are not in this frame.

    Returns:
      The result of the frame, in which the given objects are as they were given.

    Raises:
      UsageError: too few slots are free for new objects; nothing is changed then.
    """
    setup, slots = self.setup, self.slots
    assert self.result is not None
    before = self.result.labels
    unknown = (labels == VOID) & np.isin(before, list(ids))
    labels = np.where(unknown, before, labels)
    new = tuple(i for i in ids if i not in slots.slot_of)
    if new:
      self._add_objects(labels, new, self._known_features())
    slot_labels, given = slots.to_slot_labels(labels, tuple(ids)), slots.flags(ids)
    program_args = (setup.model, self._size, setup.variables, self.state)
    if self.ranking is not None:
      self.state = programs.insert(*program_args, slot_labels, given)
    else:
      features = self._known_features()
      self.state = programs.init_slots(
        *program_args, features, slot_labels, np.zeros_like(given), given
      )
    self.result = self.result.with_given(labels, ids)
    return self.result

  def _add_objects(
    self, labels: Int[np.ndarray, "h w"], ids: tuple[int, ...], features: Features
  ) -> None:
    """Puts new objects into free slots of a video in progress.

    Args:
      labels: of the frame that shows them.
      ids: the new objects.
      features: of that frame.

    Raises:
      UsageError: an object is tracked already, or too few slots are free; nothing is
        changed then.
    """
    setup, slots = self.setup, self.slots
    slots.refuse_tracked(ids)
    missing = len(ids) - slots.num_free
    if missing > 0 and setup.max_objects is None:
      # Doubling keeps compilations few when many objects appear one after another.
      extra = max(missing, slots.capacity)
      slots.capacity += extra
      self.state = programs.add_slots(setup.model, self.state, extra)
    slots.add(ids)
    slot_labels, new = slots.to_slot_labels(labels, ids), slots.flags(ids)
    if self.ranking is None:
      self.state = programs.init_slots(
        setup.model,
        self._size,
        setup.variables,
        self.state,
        features,
        slot_labels,
        new,
        np.zeros_like(new),
      )
      return
    # They rank last until they are predicted, even if their ids were used before.
    self.ranking.add(dict.fromkeys(ids, np.zeros_like(labels, bool)), labels)
    self.state = programs.insert(
      setup.model, self._size, setup.variables, self.state, slot_labels, new
    )

  def _segment(self, frame: CheckedFrame) -> FrameResult:
    """Segments a frame, after putting its new references into the state.

    Nothing here waits for the device.
    """
    setup, slots = self.setup, self.slots
    for place, features in frame.references.items():
      self.state = programs.remember(
        setup.model, setup.variables, self.state, features, np.int32(place)
      )
    rank = self.ranking and self.ranking.rank_slots(slots.slot_of, slots.capacity)
    if frame.features is None:
      self.features, advanced = programs.step(
        setup.model,
        setup.recurrence,
        setup.variables,
        self.state,
        frame.image[None],
        slots.active,
        rank,
      )
    else:
      self.features = frame.features
      advanced = programs.advance(
        setup.model,
        self._size,
        setup.recurrence,
        setup.variables,
        self.state,
        self.features,
        slots.active,
        rank,
      )
    self.state, labels, probs, present, evidence = advanced
    return FrameResult.from_slots(
      frame.image, labels, probs, present, evidence, slots.ids, slots.used
    )

  def _rank(
    self,
    result: FrameResult,
    ids: tuple[int, ...],
    labels: Int[np.ndarray, "h w"],
  ) -> None:
    """Ranks new objects by how well they are predicted in the frame that shows them."""
    threshold = self.setup.readout.threshold
    assert self.ranking is not None and threshold is not None
    self.ranking.add(result.masks(ids, threshold), labels)


def _copy_frame(frame: UInt8[np.ndarray, "h w 3"]) -> CheckedFrame:
  """A frame of a stream.

  Callers may reuse their buffer for the next frame while JAX, which is asynchronous and
  does not always copy, still reads this one.
  """
  return CheckedFrame(frame.copy())
