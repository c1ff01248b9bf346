"""Folders with one image per frame."""

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import UInt8

from vosjax.data.codecs import images
from vosjax.data.codecs.bit_depth import deep_warning, find_bits
from vosjax.data.formats.folders import first_few
from vosjax.media import numbering
from vosjax.media.video_frames import VideoFrames, check_size

FRAMES_PER_SECOND = 24.0  # as in DAVIS; a folder does not say
_KINDS = {".jpg": "JPEG", ".tif": "TIFF", ".jp2": "JPEG 2000", ".webp": "WebP"}
_NEED_A_PACKAGE = (".heic", ".heif")
_VIDEO_SUFFIXES = (".mp4", ".mov", ".avi", ".mkv", ".webm")


@dataclasses.dataclass(frozen=True)
class FrameFolder(VideoFrames):
  """A folder with one image per frame, in the order of the numbers in their names.

  Attributes:
    bits: of 16-bit gray frames, the bits that hold their values.
  """

  files: tuple[pathlib.Path, ...]
  frame_names: tuple[str, ...]
  size: tuple[int, int]
  frames_per_second: float = FRAMES_PER_SECOND
  warnings: tuple[str, ...] = ()
  bits: int = 16
  lost_first: str = ""

  @property
  def name(self) -> str:
    return str(self.files[0].parent)

  @functools.cached_property
  def details(self) -> tuple[str, ...]:  # type: ignore[override]
    suffixes = {file.suffix.lower() for file in self.files}
    kinds = sorted({_KINDS.get(suffix, suffix[1:].upper()) for suffix in suffixes})
    return (" and ".join(kinds),)

  def _read(self, index: int) -> UInt8[np.ndarray, "h w 3"]:
    file = self.files[index]
    frame = images.read_image(file, self.bits)
    check_size(frame.shape[:2], self.size, f"{file}: the frame")
    return frame


def read_folder(
  path: pathlib.Path,
  *,
  allow_gaps: bool = False,
  allow_damaged: bool = False,
  check: bool = True,
  progress: Callable[[int, int], None] | None = None,
) -> FrameFolder:
  """Finds the frames in a folder; see `vosjax.media.read.read_video`."""
  files = image_files(path, "frames")
  warnings = _check_no_gap(path, files, allow_gaps)
  first = files[0]
  if files[0].suffix.lower() in _NEED_A_PACKAGE:
    images.image_size(files[0])  # or says which
  if check:
    files, damaged = _sound_files(files, allow_damaged, progress)
    warnings += damaged
  size = images.image_size(files[0])
  if check:
    for file in files:
      check_size(images.image_size(file), size, f"{file}: the frame")
      images.check_opaque(file)
  bits = find_bits(str(path), files)
  if bits < 16:
    warnings.append(deep_warning(str(path), bits))
  images.read_image(files[0], bits)  # refuses kinds of images that are no frames
  names = tuple(file.stem for file in files)
  lost_first = "" if files[0] == first else first.stem
  return FrameFolder(
    files, names, size, warnings=tuple(warnings), bits=bits, lost_first=lost_first
  )


def image_files(path: pathlib.Path, kind: str) -> tuple[pathlib.Path, ...]:
  """The images in a folder, sorted by the numbers in their names.

  Args:
    path: of the folder.
    kind: "frames" or "masks", for error messages.

  Raises:
    ValueError: there is no image, two differ only in their suffix, or the order is
      not known.
  """
  files: dict[str, pathlib.Path] = {}
  for file in sorted(path.iterdir()):
    if file.suffix.lower() not in images.SUFFIXES or file.name.startswith("."):
      continue
    if file.stem in files:
      raise ValueError(
        f"{path}: {files[file.stem].name} and {file.name} have the same name. Remove "
        "one of them, or move masks to a folder of their own, for --mask."
      )
    files[file.stem] = file
  if not files:
    raise ValueError(
      f"{path}: contains no {kind} ({', '.join(images.SUFFIXES)}){_what_else(path)}."
    )
  try:
    return tuple(files[name] for name in numbering.in_order(list(files)))
  except ValueError as error:
    raise ValueError(f"{path}: {error}") from None


def _what_else(path: pathlib.Path) -> str:
  """What a folder without images contains instead, and what to do."""
  inside = sorted(item for item in path.iterdir() if not item.name.startswith("."))
  for folder in (item for item in inside if item.is_dir()):
    for below in (folder, *sorted(item for item in folder.iterdir() if item.is_dir())):
      if any(item.suffix.lower() in images.SUFFIXES for item in below.iterdir()):
        return f", but folders; one of them is to be given, such as {below}"
  videos = [item for item in inside if item.suffix.lower() in _VIDEO_SUFFIXES]
  if videos:
    return f", but video files; one of them is to be given, such as {videos[0]}"
  suffixes = sorted({item.suffix for item in inside if item.suffix})
  return f", but files of {first_few(suffixes, 5)}" if suffixes else ""


def _check_no_gap(
  path: pathlib.Path, files: Sequence[pathlib.Path], allow_gaps: bool
) -> list[str]:
  """Refuses gaps between numbered frames; or the warning about them."""
  gaps = numbering.gaps([file.stem for file in files])
  if not gaps:
    return []
  described = numbering.describe_gaps(gaps)
  if allow_gaps:
    return [f"{path}: {described}; the frames around a gap count as neighbours."]
  raise ValueError(
    f"{path}: {described}. Put back what is missing, or give --allow-gaps to go on "
    "without it."
  )


def _sound_files(
  files: tuple[pathlib.Path, ...],
  allow_damaged: bool,
  progress: Callable[[int, int], None] | None,
) -> tuple[tuple[pathlib.Path, ...], list[str]]:
  """The files that are complete, and one warning for each of the others.

  Raises:
    ValueError: a file is damaged and that is not allowed, or all are.
  """
  sound, warnings = [], []
  for number, file in enumerate(files):
    try:
      images.check_complete(file)
      sound.append(file)
    except ValueError as error:
      if not allow_damaged:
        raise ValueError(
          f"{str(error).removesuffix('.')}, or give --allow-damaged to leave such "
          "frames out."
        ) from None
      reason = str(error).split(". Copy or export")[0]
      warnings.append(f"{reason}; the frame is left out.")
    if progress is not None:
      progress(number + 1, len(files))
  if not sound:
    raise ValueError(f"{files[0].parent}: all {len(files)} frames are damaged.")
  return tuple(sound), warnings
