"""MOTS: a text file with one line per object and frame, with an RLE mask.

Two layouts: `VIDEO/gt/gt.txt` beside `VIDEO/img1` (MOTSChallenge), where frame 1 is the
first image, and `instances_txt/VIDEO.txt` beside `image_02/VIDEO` (KITTI MOTS), where
frame 0 is.

Source: Voigtlaender et al., "MOTS: Multi-Object Tracking and Segmentation", CVPR 2019.
"""

import dataclasses
from pathlib import Path

from vosjax.data.formats.coco import CocoVideo, check_size
from vosjax.data.formats.folders import by_number, image_files
from vosjax.data.formats.tracks import Shape, track_video

_IGNORED = 10_000  # id of regions that count as void
_MOST_DIGITS = 9  # of a number; more are no frame, id or size
_CLASSES = {"1": "car", "2": "pedestrian"}


@dataclasses.dataclass(frozen=True)
class MotsFiles:
  """One video: its text file, its folder of images, and the number of its first one."""

  name: str
  text: Path
  images: Path
  first: int


def find_mots(folder: Path) -> list[MotsFiles]:
  """All videos in a folder in one of the two layouts."""
  found = [
    MotsFiles(path.parents[1].resolve().name, path, path.parents[1] / "img1", 1)
    for path in sorted(folder.rglob("gt/gt.txt"))
    if (path.parents[1] / "img1").is_dir()
  ]
  for path in sorted(folder.rglob("instances_txt/*.txt")):
    for root in (path.parents[1], path.parents[1] / "training"):
      if (root / "image_02" / path.stem).is_dir():
        found.append(MotsFiles(path.stem, path, root / "image_02" / path.stem, 0))
        break
  return found


def read_mots(files: MotsFiles) -> CocoVideo:
  """One video; frames that no line mentions show no object.

  Raises:
    ValueError: a line is not of this kind, or of a frame that does not exist.
  """
  images = image_files(files.images)
  frames = [images[stem] for stem in sorted(images, key=by_number)]
  if not frames:
    raise ValueError(f"{files.images}: holds no frames.")
  shapes: list[list[Shape]] = [[] for _ in frames]
  size: tuple[int, int] | None = None
  try:
    lines = files.text.read_text().splitlines()
  except UnicodeDecodeError:
    raise ValueError(f"{files.text}: not a text file.") from None
  for number, line in enumerate(filter(str.strip, lines), 1):
    where = f"{files.text}: line {number}"
    fields = line.split()
    if len(fields) != 6 or not all(map(_is_number, fields[:5])):
      raise ValueError(
        f"{where}: expected frame, id, class, height, width and RLE, separated by "
        f"spaces, but found {line[:60]!r}."
      )
    frame, track, height, width = (int(fields[i]) for i in (0, 1, 3, 4))
    if size is not None and size != (height, width):
      raise ValueError(f"{where}: {height}x{width} pixels, but {size} before.")
    size = check_size((height, width), where)
    if not 0 <= frame - files.first < len(frames):
      raise ValueError(
        f"{where}: frame {frame}, but {files.images} has {len(frames)} frames, "
        f"numbered from {files.first}."
      )
    shapes[frame - files.first].append(
      Shape(
        None if track == _IGNORED else track,
        {"size": [height, width], "counts": fields[5]},
        _CLASSES.get(fields[2], ""),
      )
    )
  if size is None:
    raise ValueError(f"{files.text}: is empty; expected one line per object and frame.")
  return track_video(files.name, frames, shapes, size, str(files.text))


def _is_number(field: str) -> bool:
  return field.isdecimal() and len(field) <= _MOST_DIGITS
