"""Leaves of young plants: the CVPPP Leaf Segmentation Challenge.

Source: Minervini et al., "Finely-grained annotated datasets for image-based plant
phenotyping", Pattern Recognition Letters 2016.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np

from vosjax.data.codecs import images
from vosjax.data.formats.stills import (
  Annotation,
  Still,
  StillSource,
  files,
  refuse_missing,
)
from vosjax.data.video import VOID

CLASSES = ("background", "leaf")
_ROLES = {"leaves": "_label", "foreground": "_fg"}


@dataclasses.dataclass(frozen=True)
class LeavesFolder(StillSource):
  """One set of the challenge, e.g. A1, as a source of one-frame videos.

  `ROOT/plant001_rgb.png`, `ROOT/plant001_label.png` (a leaf is an id) and
  `ROOT/plant001_fg.png` (the plant; not in the edition of 2014). The pictures of the
  testing archive come without leaves: their labels are None.

  Attributes:
    root: the folder of the files, e.g. `CVPPP2017_LSC_training/training/A1`.
    annotated: the leaves must be there (training archive).

  Raises:
    ValueError: no such folder, or leaves are missing; names them.
  """

  root: str
  annotated: bool = True
  stills: tuple[Still, ...] = dataclasses.field(init=False, repr=False, compare=False)

  def __post_init__(self):
    found = files(self.root, "root", ".png")
    plants = [stem.removesuffix("_rgb") for stem in found if stem.endswith("_rgb")]
    if self.annotated:
      refuse_missing(
        self.root,
        [f"{plant}_label.png" for plant in plants if f"{plant}_label" not in found],
      )
    if not plants:
      raise ValueError(
        f"root: no pictures in {self.root}, expected plant001_rgb.png and so on."
      )
    object.__setattr__(
      self,
      "stills",
      tuple(
        Still(
          plant,
          found[f"{plant}_rgb"],
          {
            role: found[plant + suffix]
            for role, suffix in _ROLES.items()
            if plant + suffix in found
          },
          read_leaves,
          self.root,
        )
        for plant in plants
      ),
    )


def read_leaves(annotations: Mapping[str, bytes], name: str) -> Annotation | None:
  """The map of `leaves`; None without one."""
  if "leaves" not in annotations:
    return None
  labels = images.decode_labels(annotations["leaves"], name)
  leaf = CLASSES.index("leaf")
  ids = [int(i) for i in np.unique(labels) if i not in (0, VOID)]
  return Annotation(labels, dict.fromkeys(ids, leaf))
