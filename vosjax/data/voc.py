"""PASCAL VOC 2012 and its extension SBD: pictures with instances and their classes.

Sources: Everingham et al., "The PASCAL Visual Object Classes (VOC) Challenge", IJCV
2010; Hariharan et al., "Semantic Contours from Inverse Detectors", ICCV 2011.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from vosjax.data import images
from vosjax.data.sources import VOID
from vosjax.data.stills import Annotation, Still, StillSource, refuse_missing

CLASSES = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat",
    "chair", "cow", "diningtable", "dog", "horse", "motorbike", "person", "pottedplant",
    "sheep", "sofa", "train", "tvmonitor")


@dataclasses.dataclass(frozen=True)
class VocFolder(StillSource):
  """The segmentation part of PASCAL VOC 2012 as a source of one-frame videos.

  `ROOT/JPEGImages/NAME.jpg`, `ROOT/SegmentationObject/NAME.png`,
  `ROOT/SegmentationClass/NAME.png` and `ROOT/ImageSets/Segmentation/SUBSET.txt`. The
  labels of a video are its instances, 255 the border between them; its `classes`
  say what each is, as an index of `CLASSES`.

  Attributes:
    root: the folder VOC2012.
    subset: train, val, trainval, or another list of ImageSets/Segmentation.

  Raises:
    ValueError: no such folder or list, or files are missing; names them.
  """

  root: str
  subset: str = "train"
  stills: tuple[Still, ...] = dataclasses.field(init=False, repr=False, compare=False)

  def __post_init__(self):
    root, stills, missing = Path(self.root), [], []
    for name in names(root / "ImageSets/Segmentation", self.subset):
      image = root / f"JPEGImages/{name}.jpg"
      annotations = {
          "instances": root / f"SegmentationObject/{name}.png",
          "classes": root / f"SegmentationClass/{name}.png"}
      missing += [str(path.relative_to(root)) for path in (image, *annotations.values())
                  if not path.is_file()]
      stills.append(Still(name, image, annotations, read_instances, self.root))
    refuse_missing(root, missing)
    object.__setattr__(self, "stills", tuple(stills))


def names(lists: Path, subset: str) -> list[str]:
  """The names in a text file, one a line.

  Raises:
    ValueError: no such list, or an empty one.
  """
  path = lists / f"{subset}.txt"
  if not path.is_file():
    known = sorted(file.stem for file in lists.glob("*.txt"))
    raise ValueError(
        f"subset: no list {subset!r} in {lists}, which has {known}. Give one of them, "
        "or the folder that the data set was unpacked to.")
  found = path.read_text().split()
  if not found:
    raise ValueError(f"{path}: an empty list, expected one name a line.")
  return found


def read_instances(annotations: Mapping[str, bytes], name: str) -> Annotation:
  """The map of `instances`, and what most pixels of each are in that of `classes`.

  Raises:
    ValueError: the maps differ in size, or an instance has no class.
  """
  labels = images.decode_labels(annotations["instances"], name)
  kinds = images.decode_labels(annotations["classes"], name)
  if labels.shape != kinds.shape:
    raise ValueError(
        f"{name}: instances of {labels.shape} and classes of {kinds.shape} pixels; "
        "expected one size. Unpack the data set again.")
  table = np.bincount(labels.ravel().astype(np.intp) * 256 + kinds.ravel(),
                      minlength=256 * 256).reshape(256, 256)
  table[:, [0, VOID]] = 0
  ids = [int(i) for i in np.unique(labels) if i not in (0, VOID)]
  unknown = [i for i in ids if not table[i].any()]
  if unknown:
    raise ValueError(
        f"{name}: instances {unknown} lie on background of the class map. Unpack the "
        "data set again.")
  return Annotation(labels, {i: int(table[i].argmax()) for i in ids})
