"""From configuration to pictures with instances, as they are unpacked."""

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

_HELD_OUT = 5  # every so manieth plant is for scoring


def voc(config: ConfigDict, subset: str) -> Source:
  """PASCAL VOC 2012; for training with all of SBD that is not in its val list.

  Where `data.voc_classes` names some, instances of others are background, and pictures
  that then have none are left out.
  """
  folder = require_folder("voc", config.data.voc, "voc2012", "JPEGImages and ImageSets")
  if subset == "train":
    sbd = require_folder("sbd", config.data.sbd, "sbd", "img, inst and cls")
    source = AugmentedVocFolder(folder, sbd)
  else:
    source = VocFolder(folder, subset)
  if not config.data.voc_classes:
    return source
  try:
    kept = class_numbers(config.data.voc_classes)
  except ValueError as error:
    raise ValueError(f"data.voc_classes: {error}") from None
  source = keep_classes(source, kept)
  if not len(source):
    raise ValueError(
      f"data.voc_classes: no picture of the {subset} list of {folder} shows any of "
      f"{', '.join(map(repr, config.data.voc_classes))}."
    )
  return source


def leaves(config: ConfigDict, subset: str) -> Source:
  """Plants of CVPPP's training archive; every fifth is held out for "val"."""
  folder = require_folder(
    "leaves", config.data.leaves, "cvppp", "plant001_rgb.png and so on"
  )
  wanted = subset != "train"
  plants = enumerate(LeavesFolder(folder).stills)
  return StillSource(tuple(p for i, p in plants if (i % _HELD_OUT == 0) == wanted))


def cityscapes(config: ConfigDict, subset: str) -> Source:
  """Cityscapes with its eight classes of instances."""
  folder = require_folder(
    "cityscapes", config.data.cityscapes, "cityscapes", "leftImg8bit and gtFine"
  )
  return CityscapesFolder(folder, subset)


SETS: Mapping[str, Callable[[ConfigDict, str], Source]] = {
  "voc": voc,
  "leaves": leaves,
  "cityscapes": cityscapes,
}


def require_folder(key: str, folder: str, name: str, holds: str) -> str:
  """The folder of a set, with the user's home spelt out.

  Args:
    key: of `data` that names it.
    folder: what the key says.
    name: of the set in `datasets/`.
    holds: what is to be found there.

  Raises:
    ValueError: there is no such folder; says how to get the set.
  """
  path = pathlib.Path(folder).expanduser()
  if not path.is_dir():
    raise ValueError(
      f"no folder {folder!r}. Get the set as datasets/{name}/README.md says and pass "
      f"--config.data.{key}=FOLDER: the folder that holds {holds}."
    )
  return str(path)
