"""Cityscapes: street scenes with eight classes of instances.

Source: Cordts et al., "The Cityscapes Dataset for Semantic Urban Scene Understanding",
CVPR 2016; the ids are those of its cityscapesScripts.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from vosjax.data.codecs import images
from vosjax.data.formats.stills import (
  Annotation,
  Still,
  StillSource,
  find_stills,
  list_files,
)
from vosjax.labels import VOID

CLASSES = (
  "background",
  "person",
  "rider",
  "car",
  "truck",
  "bus",
  "train",
  "motorcycle",
  "bicycle",
)
_IDS = (24, 25, 26, 27, 28, 31, 32, 33)  # of CLASSES[1:], as stored
_IGNORED = (0, 1, 2, 3, 4, 5, 6, 9, 10, 14, 15, 16, 18, 29, 30)  # by the evaluation
_ROLES = {
  "instances": "instanceIds.png",
  "classes": "labelIds.png",
  "polygons": "polygons.json",
}


@dataclasses.dataclass(frozen=True)
class CityscapesFolder(StillSource):
  """The fine annotations of Cityscapes as a source of one-frame videos.

  `ROOT/leftImg8bit/SUBSET/CITY/NAME_leftImg8bit.png` and
  `ROOT/gtFine/SUBSET/CITY/NAME_gtFine_{instanceIds.png,labelIds.png,polygons.json}`.
  Labels are the instances of `CLASSES`, numbered from 1 in the order of the stored
  ids. Classes that the evaluation ignores are 255, and so are crowds, which are areas
  of those eight classes without separate instances. (RSIS's program treats both as
  background.) The test subset is all void: its ground truth is not public.

  Attributes:
    root: the folder that contains leftImg8bit and gtFine.
    subset: train, val or test.

  Raises:
    ValueError: the folder or files in it are missing; names them.
  """

  root: str
  subset: str = "train"
  stills: tuple[Still, ...] = dataclasses.field(init=False, repr=False, compare=False)

  def __post_init__(self):
    root = Path(self.root)
    frames, truth = root / "leftImg8bit" / self.subset, root / "gtFine" / self.subset
    if not frames.is_dir():
      raise ValueError(
        f"root, subset: no folder {frames}. Unpack leftImg8bit_trainvaltest.zip and "
        "gtFine_trainvaltest.zip into the same folder, and give that folder."
      )
    files = []
    for city in sorted(path.name for path in frames.iterdir() if path.is_dir()):
      for stem, image in list_files(frames / city, "root", "_leftimg8bit.png").items():
        name = stem.removesuffix("_leftImg8bit")
        annotations = {
          role: truth / city / f"{name}_gtFine_{suffix}"
          for role, suffix in _ROLES.items()
        }
        files.append((name, image, annotations))
    object.__setattr__(self, "stills", find_stills(root, files, read_instances))


def read_instances(annotations: Mapping[str, bytes], name: str) -> Annotation:
  """Labels from the 16-bit map `instances`, whose ids are class * 1000 + number.

  Raises:
    ValueError: the map is unreadable, or has more instances than a label map can hold.
  """
  ids = np.asarray(images.open_image(annotations["instances"], name)).astype(np.intp)
  classes = np.where(ids >= 1000, ids // 1000, ids)
  instances = np.unique(ids[(ids >= 1000) & np.isin(classes, _IDS)])
  if len(instances) >= VOID:
    raise ValueError(
      f"{name}: {len(instances)} instances, but object ids are 1 to {VOID - 1}. Cut "
      "the image into pieces."
    )
  labels = np.zeros(ids.shape, np.uint8)
  labels[np.isin(classes, (*_IGNORED, *_IDS))] = VOID
  index = np.searchsorted(instances, ids)
  is_instance = np.append(instances, -1)[index] == ids
  labels[is_instance] = (index[is_instance] + 1).astype(np.uint8)
  return Annotation(
    labels,
    {
      number: 1 + _IDS.index(int(i) // 1000)
      for number, i in enumerate(instances, start=1)
    },
  )
