"""One segmented frame, as all outputs get it."""

import contextlib
import re
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Integer, UInt8
from scipy import ndimage

_EDGE = 0.1  # probabilities below it are transparent, those above 1 - _EDGE opaque
_BAND = 4  # pixels beside the edge of a mask that may be translucent
_BANDS = 120  # and this part of the shorter side of a large frame


class SegmentedFrame:
  """A frame with its labels and what is known of its objects.

  Labels, probabilities, scores and flags may be given as functions without arguments.
  They are called once, in the thread of the first output that needs them: copies from
  the device then do not keep the network waiting.

  Args:
    index: number of the frame in the video.
    name: of the frame, without suffix; files are named after it.
    time: when it is shown, in seconds.
    image: RGB.
    labels: object ids [h w], 0 = background.
    object_ids: objects that are tracked, or were found.
    probs: probability of each object [o h w]; None if unknown.
    scores: how sure each object is, from 0 to 1 [o]; None if unknown.
    lost: which objects are probably lost [o]; None if unknown.
  """

  def __init__(
    self,
    index: int,
    name: str,
    time: float,
    image: UInt8[np.ndarray, "h w 3"],
    labels: Any,
    object_ids: tuple[int, ...],
    probs: Any = None,
    scores: Any = None,
    lost: Any = None,
  ):
    self.index, self.name, self.time, self.image = index, name, time, image
    self.object_ids = object_ids
    self._given = {"labels": labels, "probs": probs, "scores": scores, "lost": lost}
    self._known: dict[str, Any] = {}
    self._lock = threading.RLock()  # several threads write the same frame

  @property
  def labels(self) -> Integer[np.ndarray, "h w"]:
    """Object ids, 0 = background."""
    return self._once("labels", lambda: np.asarray(self._read("labels")))

  @property
  def probs(self) -> Float[np.ndarray, "o h w"]:
    """Probability of each object; 0 or 1, by the labels, where it is unknown."""
    return self._once("probs", self._find_probs)

  @property
  def scores(self) -> Float[np.ndarray, "o"] | None:
    """How sure each object is, from 0 to 1."""
    return self._once("scores", lambda: self._read("scores"))

  @property
  def lost(self) -> Bool[np.ndarray, "o"] | None:
    """Which objects are probably lost."""
    return self._once("lost", lambda: self._read("lost"))

  @property
  def alpha(self) -> UInt8[np.ndarray, "h w"]:
    """Opacity of all objects together, from 0 to 255, soft at their edges.

    It is at least one half exactly where a pixel is labelled. Only pixels close to the
    edge of what is labelled are translucent, the less so the further they are from it:
    where the network wavers elsewhere, its decision counts.
    """
    return self._once("alpha", self._find_alpha)

  def _once(self, name: str, compute: Callable[[], Any]) -> Any:
    with self._lock:
      if name not in self._known:
        self._known[name] = compute()
      return self._known[name]

  def _read(self, name: str) -> Any:
    value = self._given.pop(name)
    return value() if callable(value) else value

  def _find_probs(self) -> Float[np.ndarray, "o h w"]:
    probs = self._read("probs")
    if probs is not None:
      return np.asarray(probs)
    ids = np.array(self.object_ids, np.int32)[:, None, None]
    return (self.labels == ids).astype(np.float32)

  def _find_alpha(self) -> UInt8[np.ndarray, "h w"]:
    alpha = np.zeros(self.labels.shape, np.uint8)
    if self.labels.any():
      band = max(_BAND, round(min(alpha.shape) / _BANDS))
      around = _around(self.labels > 0, band)
      labelled = self.labels[around] > 0
      probs = self.probs[:, *around].sum(0, dtype=np.float32)
      soft = ((probs - _EDGE) * np.float32(255 / (1 - 2 * _EDGE))).clip(0, 255)
      least = 128 + 127 * _depth(labelled, band)
      most = 127 - 127 * _depth(~labelled, band)
      opacity = np.where(labelled, soft.clip(least), soft.clip(0, most))
      alpha[around] = opacity.round().astype(np.uint8)
    return alpha


def _around(mask: Bool[np.ndarray, "h w"], band: int) -> tuple[slice, slice]:
  """The box that holds a mask and `band` pixels around it."""
  rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
  return (
    slice(max(0, rows[0] - band), rows[-1] + band + 1),
    slice(max(0, columns[0] - band), columns[-1] + band + 1),
  )


def _depth(inside: Bool[np.ndarray, "h w"], band: int) -> Float[np.ndarray, "h w"]:
  """How deep pixels are inside: 0 at the edge, 1 from `band` pixels further on."""
  if inside.all():
    return np.ones(inside.shape, np.float32)
  # In steps up, down, left and right, so at least the distance.
  steps = ndimage.distance_transform_cdt(inside, "taxicab")
  return (steps.clip(1, band + 1) - 1).astype(np.float32) / np.float32(band)


@contextlib.contextmanager
def naming_frame(name: str) -> Iterator[None]:
  """Adds the name of a frame to the message of an error.

  Errors of threads reach the caller while it is at a later frame. What names a file, or
  the frame already, stays as it is; the first name that is added counts.
  """
  try:
    yield
  except Exception as error:
    if not hasattr(error, "frame_name"):
      error.frame_name = name  # type: ignore[attr-defined]
      _add_name(error, name)
    raise


def _add_name(error: Exception, name: str) -> None:
  reason = getattr(error, "strerror", None)  # of an OSError, or one of FFmpeg
  if reason:  # is shown in place of the arguments
    if getattr(error, "filename", None) is None:
      error.strerror = f"frame {name}: {reason}"  # type: ignore[attr-defined]
  elif error.args and isinstance(error.args[0], str):
    if not re.search(rf"\bframe {re.escape(name)}\b", error.args[0]):
      error.args = (f"frame {name}: {error.args[0]}", *error.args[1:])
  elif not error.args:
    error.args = (f"frame {name}",)
  else:
    error.add_note(f"frame {name}")
