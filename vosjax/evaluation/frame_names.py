"""Finds the predictions of annotated frames, also where tools name them otherwise."""

import dataclasses
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from vosjax.data.codecs import label_images
from vosjax.data.formats.folders import first_few
from vosjax.data.formats.frame_names import NameMatch, match_videos

_LISTED = 5  # names of videos in a line


@dataclasses.dataclass(frozen=True)
class FrameMatch:
  """Where the predictions of one video are.

  Attributes:
    files: one path per annotated frame; it does not exist if the prediction is missing.
    note: how files with other names were matched; "" if the names are the same.
    extra: names of the images in the folder that belong to no annotated frame.
  """

  files: tuple[Path, ...]
  note: str = ""
  extra: tuple[str, ...] = ()


def match_frames(
  videos: Sequence[tuple[Sequence[str], Path, str]],
) -> list[FrameMatch]:
  """Finds the prediction of each annotated frame of each video.

  A file of the same name counts first, whatever the case of its suffix; otherwise, the
  rules of `vosjax.data.formats.frame_names` apply.

  Args:
    videos: of each one the names of the annotated frames, the folder of its
      predictions, and what all their names begin with.
  """
  listed = [_list_images(folder, prefix) for _, folder, prefix in videos]
  matches = match_videos(
    [(list(images), frames) for (frames, _, _), images in zip(videos, listed)],
    extra=True,
  )
  return [
    _files_of(match, frames, folder, prefix, images)
    for match, (frames, folder, prefix), images in zip(matches, videos, listed)
  ]


def _files_of(
  match: NameMatch | None,
  frames: Sequence[str],
  folder: Path,
  prefix: str,
  images: Mapping[str, Path],
) -> FrameMatch:
  """The files of a match; where there is none, those that exist under their names."""
  note = ""
  if match is None or not match.how:
    files = tuple(images.get(name, folder / f"{prefix}{name}.png") for name in frames)
  else:
    files = tuple(images[name] for name in match.frames)
    note = f"{files[0].name} is frame {frames[0]}: matched {match.how}"
    if match.how == "in order":
      note = (
        f"predictions are numbered from {files[0].name}, annotations from {frames[0]}, "
        "and there are as many: they were matched in order"
      )
  return FrameMatch(files, note, _extra(files, folder, prefix))


def _list_images(folder: Path, prefix: str) -> dict[str, Path]:
  """Images by name without prefix and suffix; PNG where there are several."""
  try:
    names = sorted(os.listdir(folder))
  except (FileNotFoundError, NotADirectoryError):
    return {}
  images: dict[str, Path] = {}
  for suffix in label_images.IMAGE_SUFFIXES:
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
      if name not in used
      and name.startswith(prefix)
      and not name.startswith(".")
      # Videos and tables, such as those of vosjax segment, are no predictions.
      and name.lower().endswith(label_images.IMAGE_SUFFIXES)
    )
  )


def by_note(notes: Iterable[tuple[str, str]]) -> list[str]:
  """One line per note, with the names of the videos that it is about."""
  groups: dict[str, list[str]] = {}
  for name, note in notes:
    if note:
      groups.setdefault(note, []).append(name)
  return [f"{first_few(names, _LISTED)}: {note}." for note, names in groups.items()]
