"""Predicted instances paired with objects by the first frame of each object."""

import dataclasses

import numpy as np
from jaxtyping import Bool, Integer, UInt8

from vosjax import metrics
from vosjax.data.video import VOID
from vosjax.evaluation.scored_video import Video


class FirstFrameMatcher:
  """Renames the instances of a video, frame by frame, to the objects they meet first.

  In each frame where objects appear, the instances that are left are assigned to
  them with the least total 1 - J, and keep that object for the rest of the video.
  Where several claim a pixel, the one with the higher J in that first frame gets it.
  The first frame of an object is the annotation itself.

  Source: Ventura et al., CVPR 2019 (RVOS), evaluation of zero-shot models.
  """

  def __init__(self):
    self._owner: dict[int, tuple[int, float]] = {}  # instance -> object and first J
    self._known: set[int] = set()

  def step(
    self,
    masks: Bool[np.ndarray, "m h w"],
    annotated: Integer[np.ndarray, "h w"] | None,
  ) -> UInt8[np.ndarray, "h w"]:
    """Object ids of the next frame.

    Args:
      masks: of the instances, the same ones in all frames; they may overlap.
      annotated: ids of the objects, of which only new ones are looked at; None where
        the frame has no annotation.
    """
    labels = _paint(masks, self._owner)
    if annotated is None:
      return labels
    new = sorted(set(np.unique(annotated).tolist()) - self._known - {0, VOID})
    if new:
      free = set(range(len(masks))) - set(self._owner)
      self._owner |= _assign(masks, annotated, new, free)
      self._known |= set(new)
    for i in new:
      labels[annotated == i] = i
    return labels


def problems(video: Video) -> list[str]:
  """What keeps predicted instances from being matched, one line each."""
  return [
    f"{video.name}/{name}.png: holds id {VOID}, which is void and no instance; "
    "number instances from 1."
    for name, labels in zip(video.frames, video.prediction)
    if labels.max() == VOID
  ]


def match_first_frame(video: Video) -> Video:
  """Renames predicted instances to the objects that they meet first.

  Args:
    video: its prediction holds the instances as ids.

  Returns:
    The video with object ids as its prediction, for the semi-supervised protocol.
  """
  num_instances = int(video.prediction.max())
  matcher = FirstFrameMatcher()
  labels = np.zeros(video.truth.shape, np.uint8)
  for t, annotated in enumerate(video.truth):
    masks = _one_hot(video.prediction[t], num_instances)
    labels[t] = matcher.step(masks, annotated)
  return dataclasses.replace(video, prediction=labels)


def _assign(
  masks: Bool[np.ndarray, "m h w"],
  annotated: Integer[np.ndarray, "h w"],
  new: list[int],
  free: set[int],
) -> dict[int, tuple[int, float]]:
  candidates = sorted(free)
  if not candidates:
    return {}
  objects = np.stack([annotated == i for i in new])
  region = metrics.pairwise_region(masks[candidates], objects)
  return {
    candidates[m]: (new[o], float(region[m, o]))
    for m, o in zip(*metrics.match_proposals(region - 1))
  }


def _paint(
  masks: Bool[np.ndarray, "m h w"], owner: dict[int, tuple[int, float]]
) -> UInt8[np.ndarray, "h w"]:
  labels = np.zeros(masks.shape[1:], np.uint8)
  for instance in sorted(owner, key=lambda i: owner[i][1]):
    labels[masks[instance]] = owner[instance][0]
  return labels


def _one_hot(
  labels: Integer[np.ndarray, "h w"], num_ids: int
) -> Bool[np.ndarray, "m h w"]:
  return labels == np.arange(1, num_ids + 1, dtype=labels.dtype)[:, None, None]
