"""One video as protocols see it: the prediction beside the annotation."""

import dataclasses
from collections.abc import Mapping

import numpy as np
from jaxtyping import Integer


@dataclasses.dataclass(frozen=True)
class ScoredVideo:
  """The annotated frames of one video, and what was predicted for them.

  Attributes:
    name: name of the video.
    prediction: predicted object ids, 0 = background. Frames that the protocol does
      not score may hold anything.
    truth: annotated object ids, 0 = background and 255 = void.
    frames: frame names; 00000, 00001, ... by default.
    categories: object id -> category, for datasets that have categories.

  Raises:
    ValueError: the prediction and the truth differ in shape.
  """

  name: str
  prediction: Integer[np.ndarray, "_t _h _w"]
  truth: Integer[np.ndarray, "_t _h _w"]
  frames: tuple[str, ...] = ()
  categories: Mapping[int, str] = dataclasses.field(default_factory=dict)

  def __post_init__(self) -> None:
    if self.prediction.shape != self.truth.shape:
      raise ValueError(
        f"{self.name}: the prediction is {list(self.prediction.shape)} and the truth "
        f"{list(self.truth.shape)} (frames, rows, columns): they must be equal."
      )
    if not self.frames:
      names = tuple(f"{t:05d}" for t in range(len(self.truth)))
      object.__setattr__(self, "frames", names)
