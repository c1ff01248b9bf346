"""Matches predicted instances to objects in the first frame of each object."""

import dataclasses
from collections.abc import Set

import numpy as np
from jaxtyping import Bool, Integer, UInt8

from vosjax import metrics
from vosjax.evaluation.scored_video import ScoredVideo
from vosjax.labels import VOID, find_ids


class FirstFrameMatcher:
  """Turns instance ids into object ids, frame by frame.

  In each frame where objects appear, they are assigned to the instances that have no
  object yet, so that the total of 1 - J is smallest. An instance keeps its object for
  the rest of the video. Where instances overlap, the one whose J was higher when it was
  assigned wins. In its first frame, an object's mask is the annotation itself.

  Source: Ventura et al., CVPR 2019 (RVOS), evaluation of zero-shot models.
  """

  def __init__(self) -> None:
    self._owner: dict[int, tuple[int, float]] = {}  # instance -> object and its first J
    self._matched: set[int] = set()  # objects that have appeared

  def step(
    self,
    masks: Bool[np.ndarray, "m h w"],
    annotated: Integer[np.ndarray, "h w"] | None,
  ) -> UInt8[np.ndarray, "h w"]:
    """Processes the next frame.

    Args:
      masks: one mask per instance, in the same order in all frames; they may overlap.
      annotated: annotated object ids, used for objects that appear in this frame; None
        if the frame is not annotated.

    Returns:
      Object ids, 0 = background.
    """
    labels = _paint(masks, self._owner)
    if annotated is None:
      return labels
    new = sorted(set(find_ids(annotated)) - self._matched)
    if new:
      unassigned = set(range(len(masks))) - self._owner.keys()
      self._owner |= _assign(masks, annotated, new, unassigned)
      self._matched |= set(new)
    for i in new:
      labels[annotated == i] = i
    return labels


def problems(video: ScoredVideo) -> list[str]:
  """Everything that keeps a video from being matched, one line per problem."""
  return [
    f"{video.name}/{name}.png: holds id {VOID}, which means void and is no instance; "
    "number instances from 1."
    for name, labels in zip(video.frames, video.prediction)
    if labels.max() == VOID
  ]


def match_first_frame(video: ScoredVideo) -> ScoredVideo:
  """Replaces the instance ids of a prediction by object ids.

  Args:
    video: a video whose prediction holds instance ids.

  Returns:
    The video as the semi-supervised protocols expect it.
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
  unassigned: Set[int],
) -> dict[int, tuple[int, float]]:
  """Instance -> (object, J) for the best total J of `new` objects."""
  candidates = sorted(unassigned)
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
  """Object ids of assigned instances; a higher first J is painted over a lower one."""
  labels = np.zeros(masks.shape[1:], np.uint8)
  for instance in sorted(owner, key=lambda i: owner[i][1]):
    labels[masks[instance]] = owner[instance][0]
  return labels


def _one_hot(
  labels: Integer[np.ndarray, "h w"], num_ids: int
) -> Bool[np.ndarray, "m h w"]:
  return labels == np.arange(1, num_ids + 1, dtype=labels.dtype)[:, None, None]
