"""The protocol for two folders of masks that belong to no known dataset.

J and F are those of the DAVIS toolkit. What its conventions fix for DAVIS (which frames
and objects count, what 255 means) is chosen here.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Integer

from vosjax import metrics
from vosjax.evaluation import protocols
from vosjax.evaluation.object_ids import (
  find_first,
  find_volume_ids,
  join,
  warn_of_missed_ids,
)
from vosjax.evaluation.protocols import Protocol
from vosjax.evaluation.results import Row
from vosjax.evaluation.scored_video import ScoredVideo
from vosjax.labels import VOID

NAME = "two folders"
MEANINGS = ("void", "background", "object")  # of 255 in the truth
_COMPARED_FRAMES, _STRIDE = 5, 4  # a sample that shows exchanged ids
_EXCHANGED = 0.3  # J that other ids must gain to be worth a warning


def any_objects(
  *,
  skip_ends: bool = False,
  label_255: str | None = None,
  from_appearance: bool = False,
) -> Protocol:
  """Scores every object id of the truth; all objects count the same.

  An object is scored in all annotated frames; where neither the prediction nor the
  truth shows it, J and F are 1, as in the DAVIS toolkit. Ids that only the prediction
  has are ignored, with a warning.

  Args:
    skip_ends: leave out the first and the last annotated frame, as DAVIS does where
      the first frame is given.
    label_255: what 255 in the truth means: `void` (ignored pixels), `background` (as
      in the semi-supervised task of DAVIS 2017) or `object`. It is needed only if the
      truth has 255 beside other ids; without others, 255 is the object.
    from_appearance: score an object from the first scored frame on that shows it in
      the truth or in the prediction, as vos-benchmark does.

  Source: davis2017-evaluation; Cheng, vos-benchmark (`from_appearance`).
  """
  scored = slice(1, -1) if skip_ends else slice(None)

  def problems(video: ScoredVideo) -> list[str]:
    if not find_volume_ids(video.truth):
      return [f"{video.name}: the truth shows no object in any frame."]
    if label_255 or not _needs_meaning(video):
      return []
    return [
      f"{video.name}: the truth holds 255 beside other ids. Say what it means: "
      f"--label-255 {' or '.join(MEANINGS)}."
    ]

  def score(video: ScoredVideo) -> list[Row]:
    video, void = _interpret(video, label_255)
    part = video.truth[scored]
    ids = find_volume_ids(part if from_appearance else video.truth)
    if not from_appearance:
      return protocols.object_rows(video, video.truth, ids, scored, void)
    first = scored.start or 0
    rows: list[Row] = []
    for i in ids:
      start = first + min(find_first(part, i), find_first(video.prediction[scored], i))
      frames = slice(start, scored.stop)
      rows += protocols.object_rows(video, video.truth, [i], frames, void)
    return rows

  frames = "first and last frame left out" if skip_ends else "all annotated frames"
  since = " from an object's first appearance on" if from_appearance else ""
  return Protocol(
    NAME,
    f"same ids; {frames}{since}; mean over objects",
    score,
    scored=scored,
    check=problems,
    warn=lambda video: _warnings(_interpret(video, label_255)[0], scored),
    interpret=lambda video: _interpret(video, label_255)[0],
  )


def _needs_meaning(video: ScoredVideo) -> bool:
  if int(video.truth.max()) != VOID:
    return False
  return find_volume_ids(video.truth) != [VOID]


def _interpret(
  video: ScoredVideo, label_255: str | None
) -> tuple[ScoredVideo, np.ndarray | None]:
  """The video with 255 as it is meant, and the pixels to ignore."""
  if int(video.truth.max()) != VOID or label_255 == "object":
    return video, None
  if label_255 is None:  # the only value above 0: a binary mask
    return dataclasses.replace(
      video, prediction=_binary(video.prediction), truth=_binary(video.truth)
    ), None
  truth, void = protocols.split_void(video.truth)
  video = dataclasses.replace(video, truth=truth)
  return video, void if label_255 == "void" else None


def _binary(labels: Integer[np.ndarray, "t h w"]) -> Integer[np.ndarray, "t h w"]:
  return np.where(labels == VOID, 1, labels).astype(np.uint8)


def _warnings(video: ScoredVideo, scored: slice) -> list[str]:
  """What makes the scores of a video doubtful, without making them wrong."""
  predicted = find_volume_ids(video.prediction[scored])
  truth = find_volume_ids(video.truth[scored])
  lines = []
  if unknown := [i for i in predicted if i not in truth]:
    lines.append(f"predicted ids {join(unknown)} are not in the truth and are ignored")
  lines += warn_of_missed_ids(video, dict.fromkeys(truth, scored))
  if exchanged := _exchanged(video, scored, truth, predicted):
    lines.append(
      f"the ids seem to be exchanged: {exchanged}. Ids must be those of the truth"
    )
  return lines


def _exchanged(
  video: ScoredVideo, scored: slice, truth: Sequence[int], predicted: Sequence[int]
) -> str:
  """Which predicted ids fit other objects far better than their own, if any."""
  if len(truth) < 2 or not predicted:
    return ""
  frames = range(len(video.truth))[scored]
  chosen = list(frames[:: -(-len(frames) // _COMPARED_FRAMES)])
  small = (slice(None), slice(None, None, _STRIDE), slice(None, None, _STRIDE))
  pairs = video.truth[chosen][small].astype(np.int64) * 256
  pairs += video.prediction[chosen][small]
  counts = np.bincount(pairs.reshape(-1), minlength=256 * 256).reshape(256, 256)
  union = counts.sum(1)[:, None] + counts.sum(0) - counts
  region = (counts / np.maximum(union, 1))[np.ix_(truth, predicted)]
  own = region[np.array([[i == k for k in predicted] for i in truth])].sum()
  if region.max(axis=1).sum() - own < _EXCHANGED * len(truth):
    return ""
  best = [(truth[o], predicted[k]) for o, k in zip(*metrics.match_proposals(region))]
  gain = sum(region[truth.index(i), predicted.index(k)] for i, k in best)
  if gain - own < _EXCHANGED * len(truth):
    return ""
  return ", ".join(f"{k} shows object {i}" for i, k in best if i != k)
