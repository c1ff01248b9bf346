"""Segmentation of one video, frame by frame, with all state on the device."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import flax.linen as nn
import numpy as np
from jaxtyping import Shaped, UInt8

from vosjax.inference import checks, programs, whole_video
from vosjax.inference.ahead import encode_ahead
from vosjax.inference.frame_result import FrameResult
from vosjax.inference.painting import Ranking
from vosjax.inference.references import ALL, Count, Policy, Seen
from vosjax.inference.slots import Slots
from vosjax.models.api import KeepsSlots, TakesReferences
from vosjax.models.unroll import Recurrence
from vosjax.types import AnyArray, Variables


class VideoSegmenter:
  """Runs any model through a video of any length.

  One-shot models follow the objects of the first frame's labels, zero-shot ones find
  objects by themselves. Memory does not grow with the video. Each frame size is
  compiled once per number of slots; objects that come and go while slots are free
  compile nothing.

  Example:
    segmenter = vosjax.VideoSegmenter(model, variables)
    segmenter.start(frames[0], first_labels)  # None for a zero-shot model
    for frame in frames[1:]:
      labels = segmenter.step(frame).labels

  Args:
    model: from `vosjax.models.build` or `vosjax.checkpoints.load`.
    variables: its variables; BatchNorm is folded into the convolutions once, here.
    max_objects: slots for objects. None makes as many as the model has or there are
      objects, and more when needed, at the price of a compilation; a number is never
      exceeded. Of a zero-shot model's objects the first so many count. One-shot RVOS
      has object k in slot k - 1, if there is one, and decodes empty slots like others.
    recurrence: what the model's state is updated with, see `vosjax.models.decide`.
      "aggregated" lets objects compete; "fine" does not, like the official protocol of
      DAVIS 2016. None: the first where objects compete for pixels, else the second.
    references: how many other frames help (COSNet): 0 to 7, or "all" in `run`. None
      takes as many as the model says.
    reference_policy: which ones: "uniform", "random" or "consecutive". `run` chooses
      from the whole video by `references.choose`, `start` and `step` from the frames
      seen so far by `references.Seen`.
    seed: of "random".
  """

  def __init__(
    self,
    model: nn.Module,
    variables: Variables,
    *,
    max_objects: int | None = None,
    recurrence: Recurrence | None = None,
    references: Count | None = None,
    reference_policy: Policy | str = "uniform",
    seed: int = 0,
  ):
    if max_objects is not None and max_objects < 1:
      raise ValueError(f"max_objects must be at least 1, not {max_objects}.")
    self._readout = model.readout
    self._recurrence = checks.choose_recurrence(recurrence, model)
    self._references = checks.choose_references(references, reference_policy, model)
    self._policy, self._seed = reference_policy, seed
    self._model, self._variables = programs.prepare(model, variables)
    if isinstance(model, TakesReferences) and self._references != ALL:
      self._model = self._model.clone(num_references=self._references)
    self._max_objects = max_objects
    self._slots = Slots(max_objects or 1)
    self._frame: UInt8[np.ndarray, "h w 3"] | None = None
    self._features = self._state = self._seen = self._ranking = None

  @property
  def one_shot(self) -> bool:
    """Whether objects must be given by labels of the first frame."""
    return self._readout.one_shot

  @property
  def object_ids(self) -> tuple[int, ...]:
    """Ids of the objects that are tracked now; of a zero-shot model all it may find."""
    return self._slots.ids

  def start(
    self,
    frame: UInt8[AnyArray, "h w 3"],
    labels: Shaped[AnyArray, "..."] | None = None,
  ) -> FrameResult:
    """Begins a video; what was tracked before is forgotten.

    Args:
      frame: RGB.
      labels: objects of this frame: 0 = background, 255 = void (ignored), any other
        values are object ids. None for a zero-shot model.
    """
    frame, labels = self._check(frame, labels, "start")
    checks.refuse_all(self._references, "start")
    return self._start(frame, labels, self._encode(frame), "start")

  def step(
    self,
    frame: UInt8[AnyArray, "h w 3"],
    labels: Shaped[AnyArray, "..."] | None = None,
  ) -> FrameResult:
    """Segments the next frame.

    Args:
      frame: RGB, of the size of the first one.
      labels: new objects that appear in this frame, others 0. Where objects compete
        for pixels they are segmented in this frame like all others, their mask is
        not pasted; elsewhere (RVOS) it is.
    """
    if self._frame is None:
      raise ValueError("step(): call start() with the first frame before.")
    frame, labels = self._check(frame, labels, "step")
    return self._step(frame, labels, self._encode(frame), "step")

  def run(
    self,
    frames: Sequence[UInt8[AnyArray, "h w 3"]] | Any,
    labels: Shaped[AnyArray, "..."] | Sequence[Any] | Iterator[Any] | None = None,
  ) -> Iterator[FrameResult]:
    """Segments a whole video, with references from all of it if the model takes any.

    Each frame is encoded once, several as one batch, which `start` and `step` cannot
    do. Features are kept of these and of references alone, so memory grows with the
    video only if `references` is "all".

    Args:
      frames: anything with a length and items, such as a list or an array.
      labels: of the first frame, see `start`. Or a list or an iterator, asked frame by
        frame, of new objects, see `step`, or None. Frames before the first labels,
        which must hold an object, are background, and nothing is tracked.
    """
    checks.check_frames(frames, "run")
    if labels is None:
      checks.need_labels(self._readout, "run")
    else:
      checks.refuse_labels(self._readout, "run")
    if not isinstance(self._model, TakesReferences):
      given = labels if isinstance(labels, list | tuple | Iterator) else [labels]
      return self._run(frames, itertools.chain(given, itertools.repeat(None)))
    return whole_video.segment(
      self._model,
      self._variables,
      frames,
      policy=self._policy,
      num_references=self._references,
      seed=self._seed,
    )

  def add(self, labels: Shaped[AnyArray, "..."]) -> None:
    """Adds the objects of `labels`, which belong to the frame that was given last."""
    if self._frame is None:
      raise ValueError("add(): call start() with the first frame before.")
    checks.refuse_labels(self._readout, "add")
    labels = checks.check_labels(labels, self._size, "add")
    self._begin(labels, checks.some_ids(labels, "add"), "add")

  def remove(self, object_id: int) -> None:
    """Forgets an object; its slot is free for another.

    RVOS's slots live on: an object that comes later finds there what was gathered.
    """
    self._slots.remove(object_id)

  def _check(self, frame, labels, caller):
    frame = checks.check_frame(frame, f"{caller}(): frame")
    if caller == "step":
      checks.check_size(frame, self._size, f"{caller}(): frame")
    if labels is not None:
      checks.refuse_labels(self._readout, caller)
      labels = checks.check_labels(labels, frame.shape[:2], caller)
    elif caller == "start":
      checks.need_labels(self._readout, caller)
    return frame, labels

  def _run(self, frames, given):
    self._frame, self._slots = None, Slots(self._max_objects or 1)
    encoded = None
    for t, labels in zip(range(len(frames)), given):
      if encoded is not None:
        follow = self._step
      elif labels is None and self._readout.one_shot:
        yield FrameResult.nothing(checks.read_frame(frames, t))
        continue
      else:
        follow = self._start
        encoded = encode_ahead(self._model, self._variables, frames, t)
      frame, features = next(encoded)
      if labels is not None:
        labels = checks.check_labels(labels, frame.shape[:2], "run")
      yield follow(frame, labels, features, "run")
      checks.refuse_another(features, self._features, "run")
    checks.refuse_unbegun(encoded, "run")

  def _start(self, frame, labels, features, caller):
    if self._readout.one_shot:
      return self._start_given(frame, labels, features, caller)
    return self._start_free(frame, features)

  def _start_given(self, frame, labels, features, caller):
    """First frame of a one-shot model."""
    ids = checks.some_ids(labels, caller)
    capacity = self._max_objects or max(len(ids), self._readout.num_slots or 0)
    slots = Slots(capacity, by_id=isinstance(self._model, KeepsSlots))
    slots.refuse_excess(ids, caller)  # before anything of the last video is lost
    self._frame, self._features = frame, features
    self._slots, self._state = slots, None
    self._ranking = Ranking() if slots.by_id else None
    slot_labels, new = self._begin(labels, ids, caller)
    if self._ranking is not None:
      # The first frame is decoded for what slots gather and for the ranking; the next
      # one sees the given masks once more, and none in slots that are free.
      predicted = self._finish().masks(ids, self._readout.threshold)
      self._ranking.add(predicted, labels)
      self._insert(slot_labels, np.ones_like(new))
    return FrameResult.given(frame, labels, slots.ids, slots.used)

  def _start_free(self, frame, features):
    """First frame of a zero-shot model."""
    capacity = self._readout.num_slots
    self._frame, self._features = frame, features
    self._slots = Slots(capacity)
    self._slots.add(range(1, min(capacity, self._max_objects or capacity) + 1))
    if isinstance(self._model, TakesReferences):
      self._seen = Seen(self._policy, self._references, seed=self._seed)
    active = self._slots.active
    self._state = programs.begin(
      self._model, self._size, self._variables, None, features, None, active
    )
    return self._finish()

  def _step(self, frame, labels, features, caller):
    ids = () if labels is None else checks.ids(labels)
    self._slots.refuse_known(ids, caller)
    if self._max_objects is not None:
      self._slots.refuse_excess(ids, caller)  # before the last frame is forgotten
    self._frame, self._features = frame, features
    if not ids:
      return self._finish()
    self._begin(labels, ids, caller)
    result = self._finish()
    if self._ranking is not None:
      self._ranking.add(result.masks(ids, self._readout.threshold), labels)
      shown = np.isin(labels, ids)
      result.labels[shown] = labels[shown]
    return result

  @property
  def _size(self) -> tuple[int, int]:
    return self._frame.shape[:2]

  def _encode(self, frame):
    return programs.encode(self._model, self._variables, frame[None])

  def _finish(self) -> FrameResult:
    """Segments the frame whose features are there."""
    slots, ranking = self._slots, self._ranking
    rank = ranking and ranking.of(slots.slot_of, slots.capacity)
    self._state, labels, probs, present = programs.advance(
      self._model,
      self._size,
      self._recurrence,
      self._variables,
      self._state,
      self._features,
      slots.active,
      rank,
    )
    place = self._seen.take() if self._seen is not None else None
    if place is not None:
      self._state = programs.remember(
        self._model, self._variables, self._state, self._features, np.int32(place)
      )
    present = np.asarray(present)[0]
    return FrameResult.of(self._frame, labels, probs, present, slots.ids, slots.used)

  def _begin(self, labels, ids, caller):
    """Lets objects into free slots; returns their label map and which slots."""
    self._slots.refuse_known(ids, caller)
    missing = len(ids) - self._slots.num_free
    if missing > 0 and self._max_objects is None:
      # Doubling keeps the number of compilations small when many objects come late.
      extra = max(missing, self._slots.capacity)
      self._slots.capacity += extra
      if self._state is not None:
        self._state = programs.add_slots(self._model, self._state, extra)
    self._slots.add(ids, caller)
    slot_labels, new = self._slots.place(labels, ids)
    if self._ranking is not None and self._state is not None:
      # Nothing is predicted of them yet, and what their ids meant before is over.
      self._ranking.add(dict.fromkeys(ids, labels < 0), labels)
      self._insert(slot_labels, new)
    else:
      self._state = programs.begin(
        self._model,
        self._size,
        self._variables,
        self._state,
        self._features,
        slot_labels,
        new,
      )
    return slot_labels, new

  def _insert(self, slot_labels, new):
    self._state = programs.insert(
      self._model, self._size, self._variables, self._state, slot_labels, new
    )
