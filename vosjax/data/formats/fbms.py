"""Ground truth of FBMS-59: a definition file, and an image per annotated frame.

Source: Ochs, Malik, Brox, "Segmentation of Moving Objects by Long Term Video
Analysis", PAMI 2014, and its evaluation program.
"""

import dataclasses
import re
from pathlib import Path

_WHITE = 0xFFFFFF


@dataclasses.dataclass(frozen=True)
class Definition:
  """The content of a `*.dat` file in `GroundTruth`.

  Attributes:
    values: pixel value of each region, in order: the gray value, or in colour images
      65536 red + 256 green + blue.
    files: names of the images of the annotated frames.
  """

  values: tuple[int, ...]
  files: tuple[str, ...]

  @property
  def ordered_values(self) -> tuple[int, ...]:
    """The background first, then the objects in order.

    The background is black in gray images and white in colour images; if neither is
    a region, it is region 0. Pixels of no region count as background, as in the
    evaluation program.
    """
    is_color = any(file.lower().endswith(".ppm") for file in self.files)
    background = _WHITE if is_color else 0
    if background not in self.values:
      background = self.values[0]
    return (background, *(value for value in self.values if value != background))


def read_definition(path: Path) -> Definition:
  """Reads the definition file of a video.

  Raises:
    ValueError: the file is not in this format.
  """
  text = path.read_text(errors="replace")
  regions = re.search(r"Total number of regions:\s*(\d+)", text)
  values = re.findall(r"Scale of region \d+:\s*(\d+)", text)
  labelled = re.search(r"Total number of labeled frames for this shot:\s*(\d+)", text)
  files = re.findall(r"^\s*File name:\s*(\S+)", text, re.MULTILINE)
  if not (
    regions
    and labelled
    and int(regions[1]) == len(values) > 0
    and int(labelled[1]) == len(files)
  ):
    raise ValueError(
      f"{path}: not a definition file of FBMS: it lists {len(values)} regions and "
      f"{len(files)} frames, but states other counts. Unpack the dataset again."
    )
  return Definition(tuple(map(int, values)), tuple(files))
