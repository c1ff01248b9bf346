"""From configuration to pictures with instances, as they are unpacked."""

import dataclasses
import pathlib
from collections.abc import Callable, Mapping

from ml_collections import ConfigDict

from vosjax.data.cityscapes import CityscapesFolder
from vosjax.data.cvppp import LeavesFolder
from vosjax.data.sources import Source, Video
from vosjax.data.voc import AugmentedVocFolder, VocFolder

_HELD_OUT = 5  # every so manieth plant is for scoring


@dataclasses.dataclass(frozen=True)
class Part:
  """Some videos of a source.

  Attributes:
    source: of all.
    indices: in the source.
  """

  source: Source
  indices: tuple[int, ...]

  def __len__(self) -> int:
    return len(self.indices)

  def __getitem__(self, index: int) -> Video:
    return self.source[self.indices[index]]


def voc(config: ConfigDict, subset: str) -> Source:
  """PASCAL VOC 2012; for training with all of SBD that is not in its val list."""
  folder = _folder("voc", config.data.voc, "voc2012", "JPEGImages and ImageSets")
  if subset != "train":
    return VocFolder(folder, subset)
  sbd = _folder("sbd", config.data.sbd, "sbd", "img, inst and cls")
  return AugmentedVocFolder(folder, sbd)


def leaves(config: ConfigDict, subset: str) -> Source:
  """Plants of CVPPP's training archive; every fifth is held out for "val"."""
  source = LeavesFolder(
      _folder("leaves", config.data.leaves, "cvppp", "plant001_rgb.png and so on")
  )
  wanted = subset != "train"
  indices = range(len(source))
  return Part(source, tuple(i for i in indices if (i % _HELD_OUT == 0) == wanted))


def cityscapes(config: ConfigDict, subset: str) -> Source:
  """Cityscapes with its eight classes of instances."""
  folder = _folder(
      "cityscapes", config.data.cityscapes, "cityscapes", "leftImg8bit and gtFine"
  )
  return CityscapesFolder(folder, subset)


SETS: Mapping[str, Callable[[ConfigDict, str], Source]] = {
    "voc": voc,
    "leaves": leaves,
    "cityscapes": cityscapes,
}


def _folder(key, folder, name, holds):
  path = pathlib.Path(folder).expanduser()
  if not path.is_dir():
    raise ValueError(
        f"no folder {folder!r}. Get the set as datasets/{name}/README.md says and pass "
        f"--config.data.{key}=FOLDER: the folder that holds {holds}."
    )
  return str(path)
