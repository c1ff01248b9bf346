"""PASCAL VOC 2012 and its extension SBD: images with instances and their classes.

Sources: Everingham et al., "The PASCAL Visual Object Classes (VOC) Challenge", IJCV
2010; Hariharan et al., "Semantic Contours from Inverse Detectors", ICCV 2011.
"""

import dataclasses
import io
from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np
import scipy.io

from vosjax.data.codecs import label_images
from vosjax.data.formats.folders import read_names
from vosjax.data.formats.stills import (
  Annotation,
  Reader,
  Still,
  StillSource,
  find_stills,
)
from vosjax.labels import VOID, find_ids

CLASSES = (
  "background",
  "aeroplane",
  "bicycle",
  "bird",
  "boat",
  "bottle",
  "bus",
  "car",
  "cat",
  "chair",
  "cow",
  "diningtable",
  "dog",
  "horse",
  "motorbike",
  "person",
  "pottedplant",
  "sheep",
  "sofa",
  "train",
  "tvmonitor",
)
_LISTS = "ImageSets/Segmentation"


@dataclasses.dataclass(frozen=True)
class VocFolder(StillSource):
  """The segmentation part of PASCAL VOC 2012 as a source of one-frame videos.

  `ROOT/JPEGImages/NAME.jpg`, `ROOT/SegmentationObject/NAME.png`,
  `ROOT/SegmentationClass/NAME.png` and `ROOT/ImageSets/Segmentation/SUBSET.txt`. The
  labels of a video are its instances, with 255 on the borders between them; its
  `classes` are the class of each instance, as an index into `CLASSES`.

  Attributes:
    root: the folder VOC2012.
    subset: train, val, trainval, or another list in ImageSets/Segmentation.

  Raises:
    ValueError: the folder, the list or files are missing; names them.
  """

  root: str
  subset: str = "train"
  stills: tuple[Still, ...] = dataclasses.field(init=False, repr=False, compare=False)

  def __post_init__(self):
    root = Path(self.root)
    files = (
      (
        name,
        root / f"JPEGImages/{name}.jpg",
        {
          "instances": root / f"SegmentationObject/{name}.png",
          "classes": root / f"SegmentationClass/{name}.png",
        },
      )
      for name in read_list(root / _LISTS, self.subset)
    )
    object.__setattr__(self, "stills", find_stills(root, files, read_instances))


@dataclasses.dataclass(frozen=True)
class SbdFolder(StillSource):
  """The Semantic Boundaries Dataset: instances in 11 355 images of VOC 2011.

  `ROOT/img/NAME.jpg`, `ROOT/inst/NAME.mat`, `ROOT/cls/NAME.mat` and
  `ROOT/SUBSET.txt`. Labels and classes are as in `VocFolder`, without void.

  Attributes:
    root: the folder benchmark_RELEASE/dataset.
    subset: train or val; these lists differ from those of VOC with the same names.

  Raises:
    ValueError: the folder, the list or files are missing; names them.
  """

  root: str
  subset: str = "train"
  stills: tuple[Still, ...] = dataclasses.field(init=False, repr=False, compare=False)

  def __post_init__(self):
    root = Path(self.root)
    files = (
      (
        name,
        root / f"img/{name}.jpg",
        {"instances": root / f"inst/{name}.mat", "classes": root / f"cls/{name}.mat"},
      )
      for name in read_list(root, self.subset)
    )
    object.__setattr__(self, "stills", find_stills(root, files, read_sbd))


@dataclasses.dataclass(frozen=True)
class AugmentedVocFolder(StillSource):
  """What RSIS trains on: VOC's train list and all of SBD, without VOC's val list.

  10 582 images, sorted by name; where both annotate an image, VOC's annotation is used.

  Attributes:
    voc: the folder VOC2012.
    sbd: the folder benchmark_RELEASE/dataset.

  Source: Salvador et al., "Recurrent Neural Networks for Semantic Instance
  Segmentation", 2017, and its program.
  """

  voc: str
  sbd: str
  stills: tuple[Still, ...] = dataclasses.field(init=False, repr=False, compare=False)

  def __post_init__(self):
    held_out = set(read_list(Path(self.voc) / _LISTS, "val"))
    merged = {
      still.name: still
      for source in (
        SbdFolder(self.sbd, "train"),
        SbdFolder(self.sbd, "val"),
        VocFolder(self.voc, "train"),
      )
      for still in source.stills
    }
    object.__setattr__(
      self,
      "stills",
      tuple(merged[name] for name in sorted(merged) if name not in held_out),
    )


@dataclasses.dataclass(frozen=True)
class _ClassFilter:
  """A reader that keeps the instances of some classes, numbered from 1 without a gap.

  Others become background. Scores count the ids up to the largest one as objects.
  """

  read: Reader
  kept: frozenset[int]

  def __call__(self, annotations: Mapping[str, bytes], name: str) -> Annotation | None:
    annotation = self.read(annotations, name)
    if annotation is None:
      return None
    kept = [i for i, k in sorted(annotation.classes.items()) if k in self.kept]
    new_ids = np.arange(256, dtype=np.uint8)
    new_ids[list(annotation.classes)] = 0
    new_ids[kept] = np.arange(1, len(kept) + 1)
    classes = {int(new_ids[i]): annotation.classes[i] for i in kept}
    return Annotation(new_ids[annotation.labels], classes)


def class_numbers(wanted: Collection[str]) -> frozenset[int]:
  """Indices into `CLASSES` of the wanted classes.

  Raises:
    ValueError: a class is unknown; lists the known ones.
  """
  unknown = sorted(set(wanted) - set(CLASSES[1:]))
  if unknown:
    raise ValueError(f"unknown classes {unknown}; known: {list(CLASSES[1:])}.")
  return frozenset(map(CLASSES.index, wanted))


def keep_classes(source: StillSource, kept: frozenset[int]) -> StillSource:
  """The images that show instances of some classes, with these instances alone.

  All annotations are read here, in a few ms each. If the pipeline skipped images
  without such an instance, the images that follow them would be drawn more often.

  Args:
    source: with the classes of VOC.
    kept: classes by number, see `class_numbers`; other instances become background.

  Raises:
    ValueError: an annotation is unreadable; names it.
  """
  stills = (
    dataclasses.replace(still, read=_ClassFilter(still.read, kept))
    for still in source.stills
  )

  def shows_any(still: Still) -> bool:
    annotation = still.read_annotation()
    return annotation is not None and bool(annotation.classes)

  return StillSource(tuple(filter(shows_any, stills)))


def read_list(lists: Path, subset: str) -> list[str]:
  """The names in a text file, one per line.

  Raises:
    ValueError: the list does not exist, or is empty.
  """
  path = lists / f"{subset}.txt"
  if not path.is_file():
    known = sorted(file.stem for file in lists.glob("*.txt"))
    raise ValueError(
      f"subset: no list {subset!r} in {lists}, which has {known}. Give one of them, "
      "or the folder that the dataset was unpacked to."
    )
  return read_names(path)


def read_instances(annotations: Mapping[str, bytes], name: str) -> Annotation:
  """Labels from the map `instances`; each class is the most frequent in `classes`.

  Raises:
    ValueError: the maps differ in size, or an instance has no class.
  """
  labels = label_images.decode_labels(annotations["instances"], name)
  classes = label_images.decode_labels(annotations["classes"], name)
  if labels.shape != classes.shape:
    raise ValueError(
      f"{name}: the instance map has {labels.shape} pixels (height, width), but the "
      f"class map has {classes.shape}; they must be equal. Unpack the dataset again."
    )
  counts = np.bincount(
    labels.ravel().astype(np.intp) * 256 + classes.ravel(), minlength=256 * 256
  ).reshape(256, 256)  # pixels by instance and class
  counts[:, [0, VOID]] = 0
  ids = find_ids(labels)
  without_class = [i for i in ids if not counts[i].any()]
  if without_class:
    raise ValueError(
      f"{name}: instances {without_class} are background in the class map. Unpack the "
      "dataset again."
    )
  return Annotation(labels, {i: int(counts[i].argmax()) for i in ids})


def read_sbd(annotations: Mapping[str, bytes], name: str) -> Annotation:
  """The instances in a MATLAB file of SBD, which contains their classes as well.

  Raises:
    ValueError: it is not such a file, or lacks the class of an instance.
  """
  try:
    stored = scipy.io.loadmat(io.BytesIO(annotations["instances"]), simplify_cells=True)
    truth = stored["GTinst"]
    labels, classes = truth["Segmentation"], np.ravel(truth["Categories"])
  except (KeyError, TypeError, ValueError, scipy.io.matlab.MatReadError) as error:
    raise ValueError(
      f"{name}: not a MATLAB file with GTinst.Segmentation and .Categories "
      f"({error}). Unpack SBD's benchmark.tgz again."
    ) from None
  ids = [int(i) for i in np.unique(labels) if i]
  if ids and ids[-1] > len(classes):
    raise ValueError(
      f"{name}: instance {ids[-1]} has no class; only {len(classes)} are listed. "
      "Unpack SBD's benchmark.tgz again."
    )
  return Annotation(labels.astype(np.uint8), {i: int(classes[i - 1]) for i in ids})
