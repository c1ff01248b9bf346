"""What a model, or the matching of its instances, is given of a video's annotations."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import UInt8

from vosjax.data.video import VOID, Video


def given_labels(
  video: Video, *, late: bool = False
) -> Iterator[UInt8[np.ndarray, "h w"] | None]:
  """The labels that come with each frame; None where there are none.

  Each object is given once, in the frame in which it is first annotated.

  Args:
    video: of which some frames, or all, are annotated.
    late: objects may come at any time. Otherwise those of the first frame that shows
      one are all that are given.

  Raises:
    ValueError: no frame shows an object; before anything is given.
  """
  first = next((t for t in range(len(video)) if _ids(video.labels(t))), None)
  if first is None:
    raise ValueError(
      f"{video.name}: no annotation shows an object, only background (0) and void "
      "(255). Give each object an id from 1 to 254."
    )
  yield from [None] * first
  labels = video.labels(first)
  yield labels
  known = _ids(labels)
  for t in range(first + 1, len(video)):
    labels = video.labels(t) if late else None
    new = _ids(labels) - known
    known |= new
    yield np.where(np.isin(labels, list(new)), labels, 0) if new else None


def _ids(labels):
  """Of the objects; none where there are no labels."""
  found = () if labels is None else np.unique(labels).tolist()
  return {i for i in found if i not in (0, VOID)}
