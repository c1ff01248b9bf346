"""What the engine is given, checked on the host in words for its caller."""

from typing import Any, get_args

import flax.linen as nn
import numpy as np
from jaxtyping import Int, UInt8

from vosjax.inference import references
from vosjax.models.api import Readout, TakesReferences
from vosjax.models.unroll import Recurrence

VOID = 255
_LARGEST_ID = 2**31 - 1  # labels are int32


def check_frame(frame: Any, name: str) -> UInt8[np.ndarray, "h w 3"]:
  """A frame, called `name` where it is wrong, as an array of bytes.

  Raises:
    ValueError: it is not uint8 RGB.
  """
  try:
    frame = np.asarray(frame)
  except ValueError:  # lists of unequal lengths
    raise ValueError(f"{name} is no array: its rows differ in length.") from None
  if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
    raise ValueError(
      f"{name} is {frame.dtype} {list(frame.shape)}; expected uint8 RGB [h w 3]."
    )
  if not frame.size:
    raise ValueError(f"{name} is {list(frame.shape)}: it has no pixels.")
  return frame


def read_frame(
  frames: Any, index: int, size: tuple[int, int] | None = None
) -> UInt8[np.ndarray, "h w 3"]:
  """A frame of the video that `run` was given.

  Args:
    frames: of the video.
    index: of the frame.
    size: of the video; None: this frame is the first.

  Raises:
    ValueError: it is not uint8 RGB of that size; or whatever reading it raises.
  """
  name = f"run(): frame {index}"
  frame = check_frame(frames[index], name)
  if size is not None:
    check_size(frame, size, name)
  return frame


def check_frames(frames: Any, caller: str) -> None:
  """Refuses what is no whole video.

  Raises:
    ValueError: there are no frames, or they cannot be counted and asked for.
  """
  if not (hasattr(frames, "__len__") and hasattr(frames, "__getitem__")):
    raise ValueError(
      f"{caller}(): frames is a {type(frames).__name__}; expected something with a "
      "length and items, such as a list. Of a stream use start() and step()."
    )
  if not len(frames):
    raise ValueError(f"{caller}(): there are no frames.")


def check_size(
  frame: UInt8[np.ndarray, "h w 3"], size: tuple[int, int], name: str
) -> None:
  """Refuses a frame, called `name`, that is not of the size of its video.

  Raises:
    ValueError: it is not.
  """
  if frame.shape[:2] != size:
    raise ValueError(
      f"{name} is {frame.shape[0]}x{frame.shape[1]} but the video began with "
      f"{size[0]}x{size[1]}. Resize it, or start anew."
    )


def refuse_another(features: Any, last: Any, caller: str) -> None:
  """Refuses to go on with a video where the last frame was another one.

  Raises:
    ValueError: `last` is not `features`, those of the frame that should be it.
  """
  if last is not features:
    raise ValueError(
      f"{caller}(): another frame was segmented in between. Take a VideoSegmenter "
      "for each of several videos that are followed at the same time."
    )


def refuse_unbegun(encoded: Any, caller: str) -> None:
  """Refuses a video that is over before anything of it was encoded.

  Raises:
    ValueError: `encoded` is None.
  """
  if encoded is None:
    raise ValueError(
      f"{caller}(): labels came with no frame, so that all is background. Give those "
      "of the first frame that shows an object; an iterator serves one run."
    )


def check_labels(
  labels: Any, size: tuple[int, int], caller: str
) -> Int[np.ndarray, "h w"]:
  """Labels as int32.

  Raises:
    ValueError: they are no integers, of another size, or out of range.
  """
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


def ids(labels: Int[np.ndarray, "h w"]) -> tuple[int, ...]:
  """Object ids in ascending order, without background and void."""
  return tuple(int(i) for i in np.unique(labels) if i not in (0, VOID))


def some_ids(labels: Int[np.ndarray, "h w"], caller: str) -> tuple[int, ...]:
  """`ids`, of which there must be one.

  Raises:
    ValueError: there is none.
  """
  found = ids(labels)
  if not found:
    raise ValueError(
      f"{caller}(): labels hold no object (only 0 and 255). Give a mask with one "
      "positive id per object; of a mask of 0 and 255 give mask > 0."
    )
  return found


def need_labels(readout: Readout, caller: str) -> None:
  """Refuses a first frame without labels where they are needed.

  Raises:
    ValueError: the model is one-shot.
  """
  if readout.one_shot:
    raise ValueError(
      f"{caller}(): labels are None, but this model is one-shot and needs the first "
      "frame's mask."
    )


def refuse_labels(readout: Readout, caller: str) -> None:
  """Refuses labels where they mean nothing.

  Raises:
    ValueError: the model is zero-shot.
  """
  if not readout.one_shot:
    raise ValueError(
      f"{caller}(): labels are given, but this model is zero-shot and finds objects "
      "by itself. Leave them out."
    )


def choose_recurrence(recurrence: str | None, model: nn.Module) -> Recurrence:
  """What a model's state is updated with, see VideoSegmenter.

  Raises:
    ValueError: there is no such recurrence, or not with this model.
  """
  known = get_args(Recurrence)
  if recurrence not in (None, *known):
    raise ValueError(f"recurrence is {recurrence!r}; known: {list(known)}.")
  if model.readout.threshold is None:
    return recurrence or "aggregated"
  if recurrence not in (None, "fine"):
    raise ValueError(
      f"recurrence is {recurrence!r}, but objects of {type(model).__name__} do not "
      "compete; only 'fine' is possible."
    )
  return "fine"


def choose_references(
  count: references.Count | None, policy: references.Policy | str, model: nn.Module
) -> references.Count:
  """How many references help, see VideoSegmenter.

  Raises:
    ValueError: the number or the policy is not possible, or not with this model.
  """
  references.check(0 if count is None else count, policy)
  if isinstance(model, TakesReferences):
    return model.num_references if count is None else count
  if count is not None:
    raise ValueError(
      f"references is {count!r}, but {type(model).__name__} takes none; leave it out."
    )
  return 0


def refuse_all(count: references.Count, caller: str) -> None:
  """Refuses a stream where all frames are references.

  Raises:
    ValueError: they are.
  """
  if count == references.ALL:
    raise ValueError(
      f"{caller}(): references='all' needs the whole video. Use run(frames), or "
      "another number."
    )
