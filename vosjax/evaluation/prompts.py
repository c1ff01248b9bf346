"""Prompts of a video, which tell a one-shot model what to segment.

Each object is given once, in the first frame that shows it.
"""

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from vosjax.labels import find_ids

FrameLabels = UInt8[np.ndarray, "h w"]


@runtime_checkable
class HasLabels(Protocol):
  """A video, or the masks of one, with labels for some or all frames."""

  @property
  def name(self) -> str:
    """Name of the video or of its masks, for error messages."""
    ...

  def __len__(self) -> int:
    """Number of frames."""
    ...

  def labels(self, index: int) -> FrameLabels | None:
    """Object ids of one frame; None if it is not annotated."""
    ...


def object_prompts(
  annotations: HasLabels, *, late: bool = False
) -> Iterator[FrameLabels | None]:
  """Yields the prompt of each frame, as `VideoSegmenter.run` takes them.

  Annotations up to the first one that shows an object are read immediately, to
  refuse a video without any; later ones are read when their turn comes.

  Args:
    annotations: of a video.
    late: also give objects that first appear in a later frame; otherwise, only those
      of the first frame that shows any.

  Returns:
    One item per frame: labels of new objects, 0 elsewhere, or None if there are none.

  Raises:
    ValueError: no frame shows an object.
  """
  for first in range(len(annotations)):
    labels = annotations.labels(first)
    if labels is not None and find_ids(labels):
      return _prompts(annotations, first, labels, late)
  raise ValueError(
    f"{annotations.name}: no mask shows an object, only background (0) and void (255). "
    "Give each object an id from 1 to 254."
  )


def _prompts(
  annotations: HasLabels, first: int, first_labels: FrameLabels, late: bool
) -> Iterator[FrameLabels | None]:
  yield from [None] * first
  given = set(find_ids(first_labels))
  yield _select(first_labels, given)
  for t in range(first + 1, len(annotations)):
    labels = annotations.labels(t) if late else None
    if labels is None or not (new := set(find_ids(labels)) - given):
      yield None
      continue
    given |= new
    yield _select(labels, new)


def _select(labels: FrameLabels, ids: set[int]) -> FrameLabels:
  """Labels of some objects; everything else becomes background."""
  return np.where(np.isin(labels, list(ids)), labels, 0)
