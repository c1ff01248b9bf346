"""Segmentation of one video, frame by frame, with all state on the device."""

from typing import NamedTuple, get_args

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int, Shaped, UInt8

from vosjax.inference import programs
from vosjax.inference.slots import Slots
from vosjax.models.unroll import Recurrence
from vosjax.types import AnyArray, Variables

VOID = 255
_LARGEST_ID = 2**31 - 1  # labels are int32


class FrameResult(NamedTuple):
  """What was decided for one frame.

  Attributes:
    labels: 0 = background, otherwise object ids.
    probs: aggregated probability of each object of `object_ids`.
    object_ids: tracked objects, in the order of their slots.
  """

  labels: Int[np.ndarray, "h w"]
  probs: Float[np.ndarray, "o h w"]
  object_ids: tuple[int, ...]


class VideoSegmenter:
  """Runs any one-shot model through a video of any length.

  Memory does not grow with the video. Each frame size is compiled once per number of
  slots; objects that come and go while slots are free compile nothing.

  Example:
    segmenter = vosjax.VideoSegmenter(model, variables)
    segmenter.start(frames[0], first_labels)
    for frame in frames[1:]:
      labels = segmenter.step(frame).labels

  Args:
    model: from `vosjax.models.build` or `vosjax.checkpoints.load`.
    variables: its variables; BatchNorm is folded into the convolutions once, here.
    max_objects: slots for objects. None makes as many as there are objects and more
      when needed, at the price of a compilation; a number is never exceeded.
    recurrence: what the model's state is updated with, see `vosjax.models.decide`.
      "aggregated" lets objects compete; "fine" is what the official single-object
      protocol (DAVIS 2016) does.
  """

  def __init__(
      self,
      model: nn.Module,
      variables: Variables,
      *,
      max_objects: int | None = None,
      recurrence: Recurrence = "aggregated",
  ):
    if max_objects is not None and max_objects < 1:
      raise ValueError(f"max_objects must be at least 1, not {max_objects}.")
    known = get_args(Recurrence)
    if recurrence not in known:
      raise ValueError(f"recurrence is {recurrence!r}; known: {list(known)}.")
    self._model, self._variables = programs.prepare(model, variables)
    self._max_objects = max_objects
    self._slots = Slots(max_objects or 1)
    self._recurrence = recurrence
    self._size: tuple[int, int] | None = None
    self._features = self._state = None

  @property
  def object_ids(self) -> tuple[int, ...]:
    """Ids of the objects that are tracked now."""
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
        values are object ids.
    """
    frame, labels = self._check(frame, labels, "start")
    ids = _ids(labels)
    if not ids:
      raise ValueError(
          "start(): labels hold no object (only 0 and 255). Give the first frame's "
          "mask, with one positive id per object."
      )
    slots = Slots(self._max_objects or len(ids))
    slots.refuse_excess(ids, "start")  # before anything of the last video is lost
    self._size, self._slots, self._state = frame.shape[:2], slots, None
    self._features = self._encode(frame)
    self._begin(labels, ids, "start")
    probs = np.stack([labels == i for i in self.object_ids]).astype(np.float32)
    kept = np.where(labels == VOID, 0, labels).astype(np.int32)
    return FrameResult(kept, probs, self.object_ids)

  def step(
      self,
      frame: UInt8[AnyArray, "h w 3"],
      labels: Shaped[AnyArray, "..."] | None = None,
  ) -> FrameResult:
    """Segments the next frame.

    Args:
      frame: RGB, of the size of the first one.
      labels: new objects that appear in this frame, others 0; they are segmented in
        this frame like all others, their mask is not pasted.
    """
    if self._size is None:
      raise ValueError("step(): call start() with the first frame before.")
    frame, labels = self._check(frame, labels, "step")
    ids = () if labels is None else _ids(labels)
    self._slots.refuse_known(ids, "step")
    self._features = self._encode(frame)
    if ids:
      self._begin(labels, ids, "step")
    self._state, slot_labels, probs = programs.advance(
        self._model, self._size, self._recurrence, self._variables, self._state,
        self._features, self._active(),
    )  # fmt: skip
    id_of = np.zeros(self._slots.capacity + 1, np.int32)
    id_of[[slot + 1 for slot in self._slots.used]] = self.object_ids
    used = np.array(self._slots.used, np.int32)
    return FrameResult(
        id_of[np.asarray(slot_labels[0])], np.asarray(probs[0])[used], self.object_ids
    )

  def add(self, labels: Shaped[AnyArray, "..."]) -> None:
    """Adds the objects of `labels`, which belong to the frame that was given last."""
    if self._size is None:
      raise ValueError("add(): call start() with the first frame before.")
    labels = _check_labels(labels, self._size, "add")
    ids = _ids(labels)
    if not ids:
      raise ValueError("add(): labels hold no object (only 0 and 255).")
    self._begin(labels, ids, "add")

  def remove(self, object_id: int) -> None:
    """Forgets an object; its slot is free for another."""
    self._slots.remove(object_id)

  def _check(self, frame, labels, caller):
    frame = np.asarray(frame)
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
      raise ValueError(
          f"{caller}(): frame is {frame.dtype} {list(frame.shape)}; expected uint8 RGB "
          "[h w 3]."
      )
    if caller == "step" and frame.shape[:2] != self._size:
      raise ValueError(
          f"step(): frame is {frame.shape[0]}x{frame.shape[1]} but the video began "
          f"with {self._size[0]}x{self._size[1]}. Resize it, or start() anew."
      )
    if labels is None and caller == "start":
      raise ValueError(
          "start(): labels are None, but this model is one-shot and needs the first "
          "frame's mask."
      )
    if labels is not None:
      labels = _check_labels(labels, frame.shape[:2], caller)
    return frame, labels

  def _encode(self, frame):
    return programs.encode(self._model, self._variables, frame[None])

  def _begin(self, labels, ids, caller):
    self._slots.refuse_known(ids, caller)
    missing = len(ids) - self._slots.num_free
    if missing > 0 and self._max_objects is None:
      self._grow(missing)
    slots = self._slots.add(ids, caller)
    slot_labels = np.zeros(labels.shape, np.int32)
    for object_id, slot in zip(ids, slots):
      slot_labels[labels == object_id] = slot + 1
    new = np.zeros((1, self._slots.capacity), bool)
    new[0, list(slots)] = True
    self._state = programs.begin(
        self._model, self._size, self._variables, self._state, self._features,
        slot_labels[None], new,
    )  # fmt: skip

  def _grow(self, missing):
    # Doubling keeps the number of compilations small when many objects come late.
    extra = max(missing, self._slots.capacity)
    self._slots.capacity += extra
    if self._state is not None:
      self._state = jax.tree.map(
          # Ones: a variance of 0 would make infinities of slots that nobody uses.
          lambda x: jnp.pad(
              x, ((0, 0), (0, extra)) + ((0, 0),) * (x.ndim - 2), constant_values=1
          ),
          self._state,
      )

  def _active(self):
    active = np.zeros((1, self._slots.capacity), bool)
    active[0, list(self._slots.used)] = True
    return active


def _ids(labels) -> tuple[int, ...]:
  return tuple(int(i) for i in np.unique(labels) if i not in (0, VOID))


def _check_labels(labels, size, caller):
  labels = np.asarray(labels)
  if labels.dtype.kind not in "iub" or labels.shape != size:
    raise ValueError(
        f"{caller}(): labels are {labels.dtype} {list(labels.shape)}; expected "
        f"integers of the frame's size {list(size)}."
    )
  if labels.min() < 0 or labels.max() > _LARGEST_ID:
    raise ValueError(
        f"{caller}(): labels hold {labels.min()} to {labels.max()}; ids are 1 to "
        f"{_LARGEST_ID}."
    )
  return labels.astype(np.int32)
