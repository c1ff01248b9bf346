"""Pictures with instances as training samples: largest first, with their classes.

Source: Salvador et al., "Recurrent Neural Networks for Semantic Instance Segmentation",
arXiv 1712.00617, and its program.
"""

import dataclasses

import grain
import numpy as np
from PIL import Image

from vosjax.data.lazy_images import change_each
from vosjax.data.video import VOID, Clip, Video, read_clip


@dataclasses.dataclass(frozen=True)
class SampleFrame(grain.transforms.RandomMap):
  """One frame of a video, with a table of the classes of all ids.

  Every annotated frame is equally likely. Where a video knows no classes, all objects
  are of class 1.
  """

  def random_map(self, video: Video, rng: np.random.Generator) -> Clip | None:
    """The clip of one frame, or None if no frame shows an object."""
    known = getattr(video, "classes", {})
    classes = np.zeros(256, np.uint8) if known else np.ones(256, np.uint8)
    classes[list(known)] = list(known.values())
    classes[[0, VOID]] = 0
    for t in rng.permutation(len(video)):
      clip = read_clip(video, int(t), 1)
      if classes[clip["labels"][0]].any():
        return clip | {"classes": classes}
    return None


@dataclasses.dataclass(frozen=True)
class LargestFirst(grain.transforms.RandomMap):
  """Numbers the instances of a single frame by falling area, from 1.

  Void, and instances that are too many or too small, become background. The table of
  classes gives way to the classes of the instances, with 0 where there are none.

  Attributes:
    max_objects: that are kept.
    min_pixels: an instance must have at least this many.
  """

  max_objects: int
  min_pixels: int = 1

  def random_map(self, clip: Clip, rng: np.random.Generator) -> Clip | None:  # noqa: ARG002
    """The clip, or None if it shows no instance."""
    areas = np.asarray(Image.fromarray(clip["labels"][0]).histogram())
    areas[clip["classes"] == 0] = 0
    order = np.argsort(-areas, kind="stable")
    kept = order[areas[order] >= self.min_pixels][: self.max_objects]
    if not len(kept):
      return None
    table = np.zeros(256, np.uint8)
    table[kept] = np.arange(1, len(kept) + 1)
    classes = np.zeros(self.max_objects, np.uint8)
    classes[: len(kept)] = clip["classes"][kept]
    labels = change_each(clip["labels"], lambda _, x: table[np.asarray(x)])
    return clip | {"labels": labels, "classes": classes}
