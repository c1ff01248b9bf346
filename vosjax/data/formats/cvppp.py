"""Leaves of young plants: the CVPPP Leaf Segmentation Challenge.

Source: Minervini et al., "Finely-grained annotated datasets for image-based plant
phenotyping", Pattern Recognition Letters 2016.
"""

import dataclasses
from collections.abc import Mapping

from vosjax.data.codecs import label_images
from vosjax.data.formats.stills import (
  Annotation,
  Still,
  StillSource,
  list_files,
  refuse_missing,
)
from vosjax.labels import find_ids

CLASSES = ("background", "leaf")
_ROLES = {"leaves": "_label", "foreground": "_fg"}


@dataclasses.dataclass(frozen=True)
class LeavesFolder(StillSource):
  """One set of the challenge, e.g. A1, as a source of one-frame videos.

  `ROOT/plant001_rgb.png`, `ROOT/plant001_label.png` (one id per leaf) and
  `ROOT/plant001_fg.png` (the plant; not in the edition of 2014). The images of the
  testing archive have no annotation: their labels are None.

  Attributes:
    root: the folder of the files, e.g. `CVPPP2017_LSC_training/training/A1`.
    annotated: every image must be annotated (training archive).

  Raises:
    ValueError: the folder or annotations are missing; names them.
  """

  root: str
  annotated: bool = True
  stills: tuple[Still, ...] = dataclasses.field(init=False, repr=False, compare=False)

  def __post_init__(self):
    files = list_files(self.root, "root", ".png")
    plants = [stem.removesuffix("_rgb") for stem in files if stem.endswith("_rgb")]
    if self.annotated:
      refuse_missing(
        self.root,
        [f"{plant}_label.png" for plant in plants if f"{plant}_label" not in files],
      )
    if not plants:
      raise ValueError(
        f"root: no images in {self.root}, expected plant001_rgb.png and so on."
      )
    object.__setattr__(
      self,
      "stills",
      tuple(
        Still(
          plant,
          files[f"{plant}_rgb"],
          {
            role: files[plant + suffix]
            for role, suffix in _ROLES.items()
            if plant + suffix in files
          },
          read_leaves,
          self.root,
        )
        for plant in plants
      ),
    )


def read_leaves(annotations: Mapping[str, bytes], name: str) -> Annotation | None:
  """The labels in the map `leaves`; None without one."""
  if "leaves" not in annotations:
    return None
  labels = label_images.decode_labels(annotations["leaves"], name)
  leaf = CLASSES.index("leaf")
  ids = find_ids(labels)
  return Annotation(labels, dict.fromkeys(ids, leaf))
