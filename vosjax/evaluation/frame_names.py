"""Finds the predictions of annotated frames, also where tools number them otherwise."""

import dataclasses
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from vosjax.data.formats.folders import have_one_affix, numbers

IMAGE_SUFFIXES = (
  ".png",
  ".bmp",
  ".tif",
  ".tiff",
  ".webp",
  ".gif",
  ".jpg",
  ".jpeg",
)


@dataclasses.dataclass(frozen=True)
class FrameMatch:
  """Where the predictions of one video are.

  Attributes:
    files: one path per annotated frame; it does not exist if the prediction is missing.
    note: how files with other names were matched; "" if the names are the same.
    extra: names of the files in the folder that belong to no annotated frame.
  """

  files: tuple[Path, ...]
  note: str = ""
  extra: tuple[str, ...] = ()


def match_frames(
  videos: Sequence[tuple[Sequence[str], Path, str]],
) -> list[FrameMatch]:
  """Finds the prediction of each annotated frame of each video.

  A file of the same name counts first, whatever the case of its suffix. If any is
  missing, the numbers in the names decide, where they are unique: `0.png` or
  `frame_0.png` is frame 00000. If every video has as many predictions as annotations,
  numbered from one later on, the numbers are shifted by one.

  Args:
    videos: of each one the names of the annotated frames, the folder of its
      predictions, and what all their names begin with.
  """
  listed = [_list_images(folder, prefix) for _, folder, prefix in videos]
  matches = [
    _match(frames, folder, prefix, images)
    for (frames, folder, prefix), images in zip(videos, listed)
  ]
  shifted = [_shifted(frames, images) for (frames, _, _), images in zip(videos, listed)]
  if shifted and all(shifted):
    matches = [FrameMatch(*match) for match in shifted if match]
  return [
    dataclasses.replace(match, extra=_extra(match.files, folder, prefix))
    for match, (_, folder, prefix) in zip(matches, videos)
  ]


def _match(
  frames: Sequence[str], folder: Path, prefix: str, images: Mapping[str, Path]
) -> FrameMatch:
  expected = tuple(images.get(name, folder / f"{prefix}{name}.png") for name in frames)
  if all(name in images for name in frames):
    return FrameMatch(expected)
  wanted, found = numbers(frames), numbers(images)
  if not wanted or not found or not wanted.keys() <= found.keys():
    return FrameMatch(expected)
  if not have_one_affix(found[number] for number in wanted):
    return FrameMatch(expected)
  files = tuple(images[found[number]] for number in wanted)
  return FrameMatch(files, f"{files[0].name} is frame {frames[0]}: matched by number")


def _shifted(
  frames: Sequence[str], images: Mapping[str, Path]
) -> tuple[tuple[Path, ...], str] | None:
  """The predictions if they are the annotated frames, each numbered one higher."""
  wanted, found = numbers(frames), numbers(images)
  if not wanted or not found or len(wanted) < 2:
    return None
  first = min(wanted)
  if sorted(wanted) != list(range(first, first + len(wanted))):
    return None  # with gaps between annotations, other numbers would fit as well
  if sorted(found) != [number + 1 for number in sorted(wanted)]:
    return None
  files = tuple(images[found[number + 1]] for number in wanted)
  return files, (
    f"predictions are numbered from {files[0].name}, annotations from {frames[0]}, and "
    "there are as many: each was matched with the annotation numbered one lower"
  )


def _list_images(folder: Path, prefix: str) -> dict[str, Path]:
  """Images by name without prefix and suffix; PNG where there are several."""
  try:
    names = sorted(os.listdir(folder))
  except (FileNotFoundError, NotADirectoryError):
    return {}
  images: dict[str, Path] = {}
  for suffix in IMAGE_SUFFIXES:
    for name in names:
      if name.lower().endswith(suffix) and name.startswith(prefix):
        stem = Path(name).stem.removeprefix(prefix)
        if not name.startswith("."):
          images.setdefault(stem, folder / name)
  return images


def _extra(files: Iterable[Path], folder: Path, prefix: str) -> tuple[str, ...]:
  used = {path.name for path in files}
  try:
    with os.scandir(folder) as entries:
      names = [entry.name for entry in entries if entry.is_file()]
  except (FileNotFoundError, NotADirectoryError):
    return ()
  return tuple(
    sorted(
      name
      for name in names
      if name not in used and name.startswith(prefix) and not name.startswith(".")
    )
  )


def by_note(notes: Iterable[tuple[str, str]]) -> list[str]:
  """One line per note, with the names of the videos that it is about."""
  groups: dict[str, list[str]] = {}
  for name, note in notes:
    if note:
      groups.setdefault(note, []).append(name)
  return [f"{few(names)}: {note}." for note, names in groups.items()]


def few(names: Sequence[str], most: int = 5) -> str:
  """The first names, and how many more there are."""
  more = f" and {len(names) - most} more" if len(names) > most else ""
  return ", ".join(names[:most]) + more
