"""Checks the engine's arguments, on the host.

The checks of calls raise `UsageError`; the method that the user called puts its own
name in front of the message (`prefix_errors`). Those of the constructor's options
(`choose_...`) raise `ValueError`.
"""

import contextlib
from collections.abc import Collection, Iterator
from typing import Any, get_args

import flax.linen as nn
import numpy as np
from jaxtyping import Bool, Int, Integer, UInt8

from vosjax.inference import references
from vosjax.labels import find_ids
from vosjax.models.api import Readout, TakesReferences
from vosjax.models.unroll import Recurrence, default_recurrence

_DTYPES = ("float32", "bfloat16")
_LARGEST_ID = 2**31 - 1  # labels are int32


class UsageError(ValueError):
  """A refused call. `prefix_errors` puts the method's name in front of the message."""


@contextlib.contextmanager
def prefix_errors(method: str) -> Iterator[None]:
  """Turns a UsageError in its block into a ValueError that names the method.

  Args:
    method: the one that the user called, such as "start".

  Raises:
    ValueError: in place of a UsageError.
  """
  try:
    yield
  except UsageError as error:
    raise ValueError(f"{method}(): {error}") from None


def check_frame(frame: Any, name: str = "frame") -> UInt8[np.ndarray, "h w 3"]:
  """Returns the frame as an array.

  Args:
    frame: what the user passed.
    name: what to call it in the error message.

  Raises:
    UsageError: it is not uint8 RGB, or has no pixels.
  """
  try:
    frame = np.asarray(frame)
  except ValueError:  # nested lists of unequal lengths
    raise UsageError(f"{name} is not an array: its rows differ in length.") from None
  if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
    raise UsageError(
      f"{name} is {frame.dtype} {list(frame.shape)}; expected uint8 RGB [h w 3]."
    )
  if not frame.size:
    raise UsageError(f"{name} is {list(frame.shape)}: it has no pixels.")
  return frame


def check_size(
  frame: UInt8[np.ndarray, "h w 3"], size: tuple[int, int], name: str = "frame"
) -> None:
  """Requires a frame to have the (height, width) of the video's first frame.

  Raises:
    UsageError: it does not.
  """
  if frame.shape[:2] != size:
    raise UsageError(
      f"{name} is {frame.shape[0]}x{frame.shape[1]} but the video began with "
      f"{size[0]}x{size[1]}. Resize it, or start a new video."
    )


def check_frames(frames: Any) -> None:
  """Requires a whole video: something with a length and items.

  Raises:
    UsageError: it has no length or no items, or there are no frames.
  """
  if not (hasattr(frames, "__len__") and hasattr(frames, "__getitem__")):
    raise UsageError(
      f"frames is a {type(frames).__name__}; expected something with a length and "
      "items, such as a list. For a stream, use start() and step()."
    )
  if not len(frames):
    raise UsageError("there are no frames.")


def read_frame(
  frames: Any, index: int, size: tuple[int, int] | None = None
) -> UInt8[np.ndarray, "h w 3"]:
  """Reads and checks one frame of a whole video, and copies it.

  Videos may return one buffer for all frames, as decoders do, while frames of a batch
  are held together and results are held by the caller.

  Args:
    frames: the video.
    index: number of the frame.
    size: (height, width) of the video; None for its first frame.

  Raises:
    UsageError: it is not uint8 RGB of that size. Other errors of reading it pass
      through.
  """
  frame = check_frame(frames[index], f"frame {index}")
  if size is not None:
    check_size(frame, size, f"frame {index}")
  return frame.copy()


def check_label_map(labels: Any) -> Int[np.ndarray, "h w"]:
  """Returns labels of any size as int32.

  Raises:
    UsageError: they are not integers [h w], or contain values that cannot be ids.
  """
  labels = np.asarray(labels)
  if labels.dtype.kind not in "iub" or labels.ndim != 2 or not labels.size:
    raise UsageError(
      f"labels are {labels.dtype} {list(labels.shape)}; expected integers of the "
      "frame's size."
    )
  return _as_ids(labels)


def check_labels(labels: Any, size: tuple[int, int]) -> Int[np.ndarray, "h w"]:
  """Returns the labels of one frame as int32.

  Raises:
    UsageError: they are not integers, differ from the frame in size, or contain
      values that cannot be ids.
  """
  labels = np.asarray(labels)
  if labels.dtype.kind not in "iub" or labels.shape != size:
    raise UsageError(
      f"labels are {labels.dtype} {list(labels.shape)}; expected integers of the "
      f"frame's size {list(size)}."
    )
  return _as_ids(labels)


def _as_ids(labels: Integer[np.ndarray, "h w"] | Bool[np.ndarray, "h w"]) -> Any:
  if labels.min() < 0 or labels.max() > _LARGEST_ID:
    raise UsageError(
      f"labels range from {labels.min()} to {labels.max()}; ids are 1 to {_LARGEST_ID}."
    )
  return labels.astype(np.int32)


def require_ids(labels: Int[np.ndarray, "h w"]) -> tuple[int, ...]:
  """Object ids of labels that must contain at least one object.

  Raises:
    UsageError: they contain none.
  """
  ids = find_ids(labels)
  if not ids:
    raise UsageError(
      "labels contain no object (only 0 and 255). Give each object a positive id; "
      "for a binary mask of 0 and 255, pass mask > 0."
    )
  return ids


def require_corrected_ids(
  labels: Int[np.ndarray, "h w"], absent: Collection[int], tracked: Collection[int]
) -> tuple[int, ...]:
  """Objects that a correction is about.

  Args:
    labels: of the corrected objects that are in the frame.
    absent: ids of those that are not.
    tracked: ids of all objects.

  Raises:
    UsageError: there are none, one is not tracked, or one is both shown and absent.
  """
  shown = find_ids(labels)
  if not shown and not absent:
    raise UsageError(
      "labels contain no object (only 0 and 255). Name objects that are not in this "
      "frame by absent=[id, ...]; for a binary mask of 0 and 255, pass mask > 0."
    )
  if both := sorted(set(shown) & set(absent)):
    raise UsageError(f"objects {both} are in the labels and in absent; choose one.")
  if unknown := sorted({*shown, *absent} - set(tracked)):
    raise UsageError(
      f"objects {unknown} are not tracked (tracking {sorted(tracked)}). Use add() for "
      "new objects."
    )
  return tuple(sorted({*shown, *absent}))


def refuse_corrections_if_zero_shot(readout: Readout) -> None:
  """Refuses corrections if the model cannot use them.

  Raises:
    UsageError: the model is zero-shot.
  """
  if not readout.one_shot:
    raise UsageError(
      "this model is zero-shot: it finds objects by itself and cannot be corrected. "
      "Use a one-shot model, such as agame-lite."
    )


def require_labels_if_one_shot(readout: Readout) -> None:
  """Refuses to begin without labels if the model needs the first frame's.

  Raises:
    UsageError: the model is one-shot.
  """
  if readout.one_shot:
    raise UsageError(
      "labels are None, but this model is one-shot: give the labels of the first frame."
    )


def refuse_labels_if_zero_shot(readout: Readout) -> None:
  """Refuses labels if the model cannot use them.

  Raises:
    UsageError: the model is zero-shot.
  """
  if not readout.one_shot:
    raise UsageError(
      "labels are given, but this model is zero-shot: it finds objects by itself. "
      "Leave them out."
    )


def choose_recurrence(recurrence: str | None, model: nn.Module) -> Recurrence:
  """The recurrence to use, see VideoSegmenter.

  Raises:
    ValueError: there is no such recurrence, or the model cannot use it.
  """
  if recurrence not in (None, *get_args(Recurrence)):
    raise ValueError(
      f"recurrence is {recurrence!r}; known: {list(get_args(Recurrence))}."
    )
  default = default_recurrence(model.readout)
  if default == "fine" and recurrence not in (None, "fine"):
    raise ValueError(
      f"recurrence is {recurrence!r}, but the objects of {type(model).__name__} do not "
      "compete for pixels; use 'fine' or leave it out."
    )
  return recurrence or default  # type: ignore[return-value]  # checked above


def choose_dtype(dtype: str) -> str:
  """The type of convolutions, see VideoSegmenter.

  Raises:
    ValueError: it is neither "float32" nor "bfloat16".
  """
  if dtype not in _DTYPES:
    raise ValueError(f"dtype is {dtype!r}; known: {list(_DTYPES)}.")
  return dtype


def choose_references(
  count: references.ReferenceCount | None,
  policy: references.ReferencePolicy | str,
  model: nn.Module,
) -> references.ReferenceCount:
  """The number of reference frames to use, see VideoSegmenter.

  Raises:
    ValueError: the number or the policy is unknown, or the model takes no references.
  """
  references.check(0 if count is None else count, policy)
  if isinstance(model, TakesReferences):
    return model.num_references if count is None else count
  if count is not None:
    raise ValueError(
      f"references is {count!r}, but {type(model).__name__} takes none; leave it out."
    )
  return 0
