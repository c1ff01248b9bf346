"""Datasets of images with instances, read as they are unpacked."""

import pathlib
from collections.abc import Callable, Mapping

from ml_collections import ConfigDict

from vosjax.data.formats.cityscapes import CityscapesFolder
from vosjax.data.formats.cvppp import LeavesFolder
from vosjax.data.formats.stills import StillSource
from vosjax.data.formats.voc import (
  AugmentedVocFolder,
  VocFolder,
  class_numbers,
  keep_classes,
)
from vosjax.data.video import Source

_HELD_OUT_PERIOD = 5  # every fifth plant is held out for scoring


def voc(config: ConfigDict, subset: str) -> Source:
  """PASCAL VOC 2012; the train list is extended by all of SBD but VOC's val list.

  If `data.voc_classes` names classes, instances of all others become background, and
  images without any instance left are dropped.

  Raises:
    ValueError: a folder is missing, a class is unknown or no image shows any of them.
  """
  folder = require_folder("voc", config.data.voc, "voc2012", "JPEGImages and ImageSets")
  source: StillSource
  if subset == "train":
    sbd = require_folder("sbd", config.data.sbd, "sbd", "img, inst and cls")
    source = AugmentedVocFolder(folder, sbd)
  else:
    source = VocFolder(folder, subset)
  if not config.data.voc_classes:
    return source
  try:
    classes = class_numbers(config.data.voc_classes)
  except ValueError as error:
    raise ValueError(f"data.voc_classes: {error}") from None
  source = keep_classes(source, classes)
  if not len(source):
    raise ValueError(
      f"data.voc_classes: no image in the {subset} list of {folder} shows any of "
      f"{', '.join(map(repr, config.data.voc_classes))}."
    )
  return source


def leaves(config: ConfigDict, subset: str) -> Source:
  """Plants of CVPPP's training archive; every fifth is held out as "val".

  Raises:
    ValueError: the folder is missing.
  """
  folder = require_folder(
    "leaves", config.data.leaves, "cvppp", "plant001_rgb.png and so on"
  )
  held_out = subset != "train"
  plants = enumerate(LeavesFolder(folder).stills)
  return StillSource(
    tuple(plant for i, plant in plants if (i % _HELD_OUT_PERIOD == 0) == held_out)
  )


def cityscapes(config: ConfigDict, subset: str) -> Source:
  """Cityscapes with its eight classes of instances.

  Raises:
    ValueError: the folder is missing.
  """
  folder = require_folder(
    "cityscapes", config.data.cityscapes, "cityscapes", "leftImg8bit and gtFine"
  )
  return CityscapesFolder(folder, subset)


class MissingFolder(ValueError):
  """A dataset's folder is not there at all; says how to get the dataset."""


# Name -> (configuration, subset) -> its images.
IMAGE_DATASETS: Mapping[str, Callable[[ConfigDict, str], Source]] = {
  "voc": voc,
  "leaves": leaves,
  "cityscapes": cityscapes,
}


def require_folder(key: str, folder: str, name: str, contents: str) -> str:
  """The folder of a dataset, with the user's home expanded.

  Args:
    key: of `config.data`, which names the folder.
    folder: the value of that key.
    name: of the dataset in `datasets/`.
    contents: what the folder must hold.

  Raises:
    MissingFolder: there is no such folder.
  """
  path = pathlib.Path(folder).expanduser()
  if not path.is_dir():
    raise MissingFolder(
      f"no folder {folder!r}. Get the dataset as datasets/{name}/README.md says and "
      f"pass --config.data.{key}=FOLDER: the folder that holds {contents}."
    )
  return str(path)
