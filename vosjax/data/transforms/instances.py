"""Images with instances as training samples: largest first, with their classes.

Source: Salvador et al., "Recurrent Neural Networks for Semantic Instance Segmentation",
arXiv 1712.00617, and its program.
"""

import dataclasses

import grain
import numpy as np
from PIL import Image

from vosjax.data.video import Clip, Video, read_clip
from vosjax.labels import VOID


@dataclasses.dataclass(frozen=True)
class SampleFrame(grain.transforms.RandomMap):
  """One frame of a video, with a table of the class of every id.

  Every frame that shows an object is equally likely. In a video without classes, all
  objects are of class 1.
  """

  def random_map(self, video: Video, rng: np.random.Generator) -> Clip | None:
    """A clip of one frame, or None if no frame shows an object."""
    classes = np.zeros(256, np.uint8) if video.classes else np.ones(256, np.uint8)
    classes[list(video.classes)] = list(video.classes.values())
    classes[[0, VOID]] = 0
    for t in rng.permutation(len(video)):
      clip = read_clip(video, int(t), 1)
      if classes[clip["labels"][0]].any():
        return clip | {"classes": classes}
    return None


@dataclasses.dataclass(frozen=True)
class LargestFirst(grain.transforms.RandomMap):
  """Numbers the instances of a single frame from 1, by decreasing area.

  Void, surplus instances and those that are too small become background. The table of
  classes is replaced by the classes of the instances, padded with 0.

  Attributes:
    max_objects: largest number of instances to keep.
    min_pixels: an instance must have at least this many pixels, and one in any case.
  """

  max_objects: int
  min_pixels: int = 1

  def random_map(self, clip: Clip, rng: np.random.Generator) -> Clip | None:  # noqa: ARG002
    """The clip, or None if it shows no instance."""
    areas = np.asarray(Image.fromarray(clip["labels"][0]).histogram())
    areas[clip["classes"] == 0] = 0
    order = np.argsort(-areas, kind="stable")
    kept = order[areas[order] >= max(1, self.min_pixels)][: self.max_objects]
    if not len(kept):
      return None
    new_ids = np.zeros(256, np.uint8)
    new_ids[kept] = np.arange(1, len(kept) + 1)
    classes = np.zeros(self.max_objects, np.uint8)
    classes[: len(kept)] = clip["classes"][kept]
    return clip | {"labels": new_ids[clip["labels"]], "classes": classes}
