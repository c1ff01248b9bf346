"""Predicted instances paired with objects by the first frame of each object."""

import dataclasses

import numpy as np
from jaxtyping import Bool, Integer, UInt8

from vosjax import metrics
from vosjax.inference.scoring import Video, split_void


def match_first_frame(
    video: Video, instances: Bool[np.ndarray, "t m h w"] | None = None
) -> Video:
  """Renames predicted instances to the objects that they meet first.

  In each frame where objects appear, the instances that are left are assigned to
  them with the least total 1 - J, and keep that object for the rest of the video.
  Where several claim a pixel, the one with the higher J in that first frame gets it.
  The first frame of an object is the annotation itself.

  Args:
    video: its prediction holds the instances as ids.
    instances: masks that may overlap, in place of the prediction.

  Returns:
    The video with object ids as its prediction, for the semi-supervised protocol.

  Source: Ventura et al., CVPR 2019 (RVOS), evaluation of zero-shot models.
  """
  truth, _ = split_void(video.truth)
  if instances is None:
    num_instances = int(video.prediction.max())
  else:
    num_instances = instances.shape[1]
  owner: dict[int, tuple[int, float]] = {}  # instance -> its object and first J
  known: set[int] = set()
  labels = np.zeros(truth.shape, np.uint8)
  for t, annotated in enumerate(truth):
    if instances is None:
      masks = _one_hot(video.prediction[t], num_instances)
    else:
      masks = instances[t]
    new = sorted(set(np.unique(annotated).tolist()) - known - {0})
    labels[t] = _paint(masks, owner)
    if new:
      owner |= _assign(masks, annotated, new, set(range(num_instances)) - set(owner))
      known |= set(new)
    for i in new:
      labels[t][annotated == i] = i
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
