"""PASCAL VOC 2012 and its extension SBD: pictures with instances and their classes.

Sources: Everingham et al., "The PASCAL Visual Object Classes (VOC) Challenge", IJCV
2010; Hariharan et al., "Semantic Contours from Inverse Detectors", ICCV 2011.
"""

import dataclasses
import io
from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np
import scipy.io

from vosjax.data.codecs import images
from vosjax.data.formats.davis import read_names
from vosjax.data.formats.stills import (
  Annotation,
  Reader,
  Still,
  StillSource,
  locate,
  refuse_missing,
)
from vosjax.data.video import VOID

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
    root, missing = Path(self.root), []
    object.__setattr__(
      self,
      "stills",
      tuple(
        locate(
          root,
          name,
          root / f"JPEGImages/{name}.jpg",
          {
            "instances": root / f"SegmentationObject/{name}.png",
            "classes": root / f"SegmentationClass/{name}.png",
          },
          read_instances,
          missing,
        )
        for name in names(root / _LISTS, self.subset)
      ),
    )
    refuse_missing(root, missing)


@dataclasses.dataclass(frozen=True)
class SbdFolder(StillSource):
  """The Semantic Boundaries Dataset: instances for 11 355 pictures of VOC 2011.

  `ROOT/img/NAME.jpg`, `ROOT/inst/NAME.mat`, `ROOT/cls/NAME.mat` and
  `ROOT/SUBSET.txt`. Labels and classes as in `VocFolder`, without void.

  Attributes:
    root: the folder benchmark_RELEASE/dataset.
    subset: train or val; these differ from VOC's lists of the same names.

  Raises:
    ValueError: no such folder or list, or files are missing; names them.
  """

  root: str
  subset: str = "train"
  stills: tuple[Still, ...] = dataclasses.field(init=False, repr=False, compare=False)

  def __post_init__(self):
    root, missing = Path(self.root), []
    object.__setattr__(
      self,
      "stills",
      tuple(
        locate(
          root,
          name,
          root / f"img/{name}.jpg",
          {"instances": root / f"inst/{name}.mat", "classes": root / f"cls/{name}.mat"},
          read_sbd,
          missing,
        )
        for name in names(root, self.subset)
      ),
    )
    refuse_missing(root, missing)


@dataclasses.dataclass(frozen=True)
class AugmentedVocFolder(StillSource):
  """What RSIS trains on: VOC's train list and all of SBD, less VOC's val list.

  10 582 pictures, sorted by name; where both annotate a picture VOC's counts.

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
    held_out = set(names(Path(self.voc) / _LISTS, "val"))
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
class _Only:
  """Reads what `read` does, with instances of other classes as background."""

  read: Reader
  kept: frozenset[int]

  def __call__(self, annotations, name):
    annotation = self.read(annotations, name)
    classes = {i: k for i, k in annotation.classes.items() if k in self.kept}
    others = list(annotation.classes.keys() - classes.keys())
    labels = np.where(np.isin(annotation.labels, others), 0, annotation.labels)
    return Annotation(labels.astype(np.uint8), classes)


def class_numbers(wanted: Collection[str]) -> frozenset[int]:
  """Numbers of some classes, as annotations give them.

  Raises:
    ValueError: one is unknown; lists those that are known.
  """
  unknown = sorted(set(wanted) - set(CLASSES[1:]))
  if unknown:
    raise ValueError(f"classes {unknown} unknown; known: {list(CLASSES[1:])}.")
  return frozenset(map(CLASSES.index, wanted))


def keep_classes(source: StillSource, kept: frozenset[int]) -> StillSource:
  """The pictures that show instances of some classes, with these instances alone.

  All annotations are read, a few ms each. Left to the pipeline, pictures without
  such an instance would make it draw those behind them again and again.

  Args:
    source: of VOC's classes.
    kept: as `class_numbers` gives them; instances of others become background.

  Raises:
    ValueError: an annotation is unreadable; names it.
  """
  stills = (
    dataclasses.replace(still, read=_Only(still.read, kept)) for still in source.stills
  )
  return StillSource(
    tuple(still for still in stills if still.read_annotation().classes)
  )


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
      "or the folder that the data set was unpacked to."
    )
  return read_names(path)


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
      "expected one size. Unpack the data set again."
    )
  table = np.bincount(
    labels.ravel().astype(np.intp) * 256 + kinds.ravel(), minlength=256 * 256
  ).reshape(256, 256)
  table[:, [0, VOID]] = 0
  ids = [int(i) for i in np.unique(labels) if i not in (0, VOID)]
  unknown = [i for i in ids if not table[i].any()]
  if unknown:
    raise ValueError(
      f"{name}: instances {unknown} lie on background of the class map. Unpack the "
      "data set again."
    )
  return Annotation(labels, {i: int(table[i].argmax()) for i in ids})


def read_sbd(annotations: Mapping[str, bytes], name: str) -> Annotation:
  """The instances of a MATLAB file of SBD, which holds their classes too.

  Raises:
    ValueError: it is no such file, or says nothing on the class of an instance.
  """
  try:
    stored = scipy.io.loadmat(io.BytesIO(annotations["instances"]), simplify_cells=True)
    truth = stored["GTinst"]
    labels, kinds = truth["Segmentation"], np.ravel(truth["Categories"])
  except (KeyError, TypeError, ValueError, scipy.io.matlab.MatReadError) as error:
    raise ValueError(
      f"{name}: not a MATLAB file with GTinst.Segmentation and .Categories "
      f"({error}). Unpack SBD's benchmark.tgz again."
    ) from None
  ids = [int(i) for i in np.unique(labels) if i]
  if ids and ids[-1] > len(kinds):
    raise ValueError(
      f"{name}: instance {ids[-1]}, but classes of {len(kinds)} only. Unpack SBD's "
      "benchmark.tgz again."
    )
  return Annotation(labels.astype(np.uint8), {i: int(kinds[i - 1]) for i in ids})
