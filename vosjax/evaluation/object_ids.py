"""Which object ids a video shows, and which of the truth's ids a prediction lacks."""

from collections.abc import Iterable, Mapping

import numpy as np
from jaxtyping import Integer

from vosjax.data.formats.folders import first_few
from vosjax.evaluation.scored_video import ScoredVideo

_FEW_IDS = 32  # up to this id, one comparison per id is faster than counting
_LISTED = 5


def find_volume_ids(labels: Integer[np.ndarray, "t h w"]) -> list[int]:
  """The ids above 0 of a video, ascending, with 255 if it occurs."""
  largest = int(labels.max(initial=0))
  if largest <= _FEW_IDS:
    return [i for i in range(1, largest + 1) if find_first(labels, i) < len(labels)]
  counts = np.zeros(256, np.int64)
  for frame in labels:
    counts += np.bincount(frame.reshape(-1), minlength=256)
  return np.flatnonzero(counts)[int(counts[0] > 0) :].tolist()


def find_first(labels: Integer[np.ndarray, "t h w"], i: int) -> int:
  """Index of the first frame that shows an id; the number of frames if none does."""
  return next((t for t, frame in enumerate(labels) if (frame == i).any()), len(labels))


def warn_of_missed_ids(video: ScoredVideo, scored: Mapping[int, slice]) -> list[str]:
  """Warns of ids that the truth has in scored frames, and the prediction in none.

  Args:
    video: prediction and truth.
    scored: the frames in which each id is scored.
  """
  missed = []
  for i, frames in scored.items():
    truth, prediction = video.truth[frames], video.prediction[frames]
    if find_first(truth, i) < len(truth) == find_first(prediction, i):
      missed.append(i)
  if not missed:
    return []
  return [f"no frame of the prediction has the truth's ids {join(missed)}"]


def join(ids: Iterable[int]) -> str:
  """Ids as a list for a message."""
  return first_few(ids, _LISTED)
