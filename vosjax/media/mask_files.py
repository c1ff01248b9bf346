"""Finds the mask files of a video, and the frames and objects that they belong to."""

import dataclasses
import pathlib
import re
from collections.abc import Mapping, Sequence

from vosjax.data.codecs.label_images import IMAGE_SUFFIXES, NUMPY_SUFFIX
from vosjax.data.formats.folders import by_number, first_few
from vosjax.data.formats.frame_names import find_number, match_names
from vosjax.labels import VOID
from vosjax.media.mask_names import match_files, say_objects

MASK_SUFFIXES = (*IMAGE_SUFFIXES, NUMPY_SUFFIX)
_LISTED = 10  # files in a note


@dataclasses.dataclass(frozen=True)
class MaskFile:
  """A file with one or all objects of a frame.

  Attributes:
    path: of the file.
    object_id: the id of the one object that it holds; None if it holds ids.
  """

  path: pathlib.Path
  object_id: int | None = None


@dataclasses.dataclass(frozen=True)
class FoundMasks:
  """Mask files of a video.

  Attributes:
    files: of each frame that has a mask, by its index; several hold an object each.
    notes: on how files and frames were matched, for the user.
    warnings: on what was matched without being certain.
  """

  files: Mapping[int, tuple[MaskFile, ...]]
  notes: tuple[str, ...] = ()
  warnings: tuple[str, ...] = ()


def find_masks(
  paths: Sequence[pathlib.Path],
  frame_names: Sequence[str],
  lost_first: str = "",
  numbered: bool = False,
) -> FoundMasks:
  """Finds the masks in the given files or folders, see `masks.read_masks`.

  Raises:
    ValueError: there is no mask, or one belongs to no frame for sure.
  """
  found = _find(paths, frame_names, lost_first)
  if not numbered or min(found.files) != 1 or int(frame_names[0]):
    return found
  warning = (
    f"the first mask ({found.files[1][0].path}) is taken as that of frame "
    f"{frame_names[1]}, the second one: frames of a video file are numbered from 0. If "
    "masks are numbered from 1, as by ffmpeg, number them from 0, so that the mask of "
    f"the first frame is {frame_names[0]}.png"
  )
  return dataclasses.replace(found, warnings=(*found.warnings, warning))


def _find(
  paths: Sequence[pathlib.Path], frame_names: Sequence[str], lost_first: str
) -> FoundMasks:
  """`find_masks` without doubts about numbers."""
  for path in paths:
    if not path.exists():
      raise ValueError(f"{path}: no such mask file or folder of masks.")
  folders = [path for path in paths if path.is_dir()]
  if folders and len(folders) < len(paths):
    raise ValueError(
      f"{folders[0]}: a folder of masks together with files. Give folders alone, one "
      "per object, or files alone."
    )
  if not folders:
    if len(paths) == 1:
      return _find_single(paths[0], frame_names, lost_first)
    return _find_several(paths, frame_names, lost_first)
  if len(folders) == 1:
    if list_masks(folders[0]):
      return _find_folder(folders[0], frame_names, lost_first=lost_first)
    folders = sorted(
      (path for path in folders[0].iterdir() if path.is_dir() and list_masks(path)),
      key=lambda path: by_number(path.name),
    )
    if folders and _are_frames(folders, frame_names):
      return _find_frame_folders(folders, frame_names)
  if not folders:
    raise ValueError(
      f"{paths[0]}: contains no masks ({', '.join(MASK_SUFFIXES)}), and no folder of "
      "masks per object."
    )
  return _find_object_folders(folders, frame_names)


def list_masks(folder: pathlib.Path) -> list[pathlib.Path]:
  """The masks in a folder, sorted by the numbers in their names.

  Raises:
    ValueError: two names differ only in their suffix.
  """
  files = sorted(
    (
      path
      for path in folder.iterdir()
      if path.suffix.lower() in MASK_SUFFIXES and not path.name.startswith(".")
    ),
    key=lambda path: (by_number(path.stem), path.suffix),
  )
  for file, following in zip(files, files[1:]):
    if file.stem == following.stem:
      raise ValueError(
        f"{folder}: {file.name} and {following.name} have the same name. "
        "Remove one of them."
      )
  return files


def short_name(path: pathlib.Path, paths: Sequence[pathlib.Path]) -> str:
  """The name of a file, behind that of its folder if others have the same name."""
  alone = [other.name for other in paths].count(path.name) == 1
  return path.name if alone else "/".join(path.parts[-2:])


def _find_single(
  path: pathlib.Path, frame_names: Sequence[str], lost_first: str
) -> FoundMasks:
  """A file of the frame that it is named after, or of the first one."""
  files = (MaskFile(path),)
  try:
    match = match_names([path.stem], frame_names)
  except ValueError:
    _require_first(path, frame_names, lost_first)
    if not any(character.isdecimal() for character in path.stem):
      return FoundMasks({0: files})
    warning = f"{path.name}: taken as the mask of the first frame, {frame_names[0]}"
    return FoundMasks({0: files}, warnings=(warning,))
  frame = match.frames[path.stem]
  note = match.note or f"{path.name}: the mask of frame {frame_names[frame]}"
  return FoundMasks({frame: files}, (note,) if frame or match.note else ())


def _require_first(
  path: pathlib.Path, frame_names: Sequence[str], lost_first: str
) -> None:
  """Refuses a mask of the first frame if that frame is left out."""
  if lost_first:
    raise ValueError(
      f"{path}: belongs to the first frame, as it is not named after another one, but "
      f"that frame, {lost_first}, is damaged and left out. Give the mask of a frame "
      f"that remains, and name it after the frame, such as {frame_names[0]}.png."
    )


def _find_folder(
  folder: pathlib.Path,
  frame_names: Sequence[str],
  object_id: int | None = None,
  lost_first: str = "",
) -> FoundMasks:
  """One file per frame, named after it."""
  by_name = {file.stem: file for file in list_masks(folder)}
  try:
    match = match_names(list(by_name), frame_names)
  except ValueError as error:
    if object_id is None and _named_after_objects(list(by_name)):
      return _find_several(list(by_name.values()), frame_names, lost_first)
    stray = next(name for name in by_name if name not in frame_names)
    raise ValueError(
      f"{by_name[stray]}: {error}. If each file is the mask of one object, give every "
      "file by a --mask of its own."
    ) from None
  files = {
    match.frames[name]: (MaskFile(file, object_id),) for name, file in by_name.items()
  }
  return FoundMasks(files, (f"{folder}: {match.note}",) if match.note else ())


def _find_several(
  paths: Sequence[pathlib.Path], frame_names: Sequence[str], lost_first: str
) -> FoundMasks:
  """Files of frames if they are named after frames, and else of an object each."""
  names = list(dict.fromkeys(path.stem for path in paths))
  try:
    match = match_files(names, frame_names)
  except ValueError as error:
    raise ValueError(f"--mask {error}") from None
  if match is None or len(names) == 1:
    frame = match.frames[names[0]] if match else 0
    if match is None:
      _require_first(paths[0], frame_names, lost_first)
    return _find_objects(paths, frame, frame_names[frame])
  if len(names) < len(paths):
    raise ValueError(
      f"--mask {names[0]}, {names[1]}: files of several frames, of which some have the "
      "same name. Give one folder per object."
    )
  for path in paths:
    if match.frames[path.stem] == 0 and not re.search(r"\d", path.stem):
      _require_first(path, frame_names, lost_first)
  by_name = {path.stem: path for path in paths}
  files = {t: (MaskFile(by_name[name]),) for name, t in match.frames.items()}
  listed = [
    f"{by_name[name].name} is of frame {frame_names[t]}"
    for name, t in match.frames.items()
  ]
  return FoundMasks(files, (f"masks of frames: {first_few(listed, _LISTED)}",))


def _find_objects(
  paths: Sequence[pathlib.Path], frame: int, frame_name: str
) -> FoundMasks:
  """Files of one frame with an object each, in the order in which they are given."""
  objects = tuple(MaskFile(path, number) for number, path in enumerate(paths, 1))
  listed = [f"{short_name(o.path, paths)} is object {o.object_id}" for o in objects]
  return FoundMasks({frame: objects}, (f"frame {frame_name}: {', '.join(listed)}",))


def _named_after_objects(names: Sequence[str]) -> bool:
  """Whether names are those of objects: obj1 and obj2, or dog and cat."""
  return all(say_objects(name) or not re.search(r"\d", name) for name in names)


def _find_object_folders(
  folders: Sequence[pathlib.Path], frame_names: Sequence[str]
) -> FoundMasks:
  """Folders of one object each, whose id is in their name, or is their number."""
  ids = _object_ids([folder.name for folder in folders])
  listed = [f"{folder.name} is object {i}" for folder, i in zip(folders, ids)]
  notes = [f"{folders[0].parent}: one folder per object, {', '.join(listed)}"]
  files: dict[int, tuple[MaskFile, ...]] = {}
  for folder, object_id in zip(folders, ids):
    found = _find_folder(folder, frame_names, object_id)
    notes += found.notes
    for frame, added in found.files.items():
      files[frame] = files.get(frame, ()) + added
  return FoundMasks(files, tuple(notes))


def _are_frames(folders: Sequence[pathlib.Path], frame_names: Sequence[str]) -> bool:
  """Whether folders are named after frames, and the files in them after objects.

  Raises:
    ValueError: both are named after frames.
  """
  if not {folder.name for folder in folders} <= set(frame_names):
    return False
  if {path.stem for path in list_masks(folders[0])} <= set(frame_names):
    raise ValueError(
      f"{folders[0].parent}: folders and the files in them are named after frames, so "
      "it is unclear which are objects. Name folders after objects (001, 002)."
    )
  return True


def _find_frame_folders(
  folders: Sequence[pathlib.Path], frame_names: Sequence[str]
) -> FoundMasks:
  """Folders of one frame each, with a file per object."""
  names = sorted(
    {p.stem for folder in folders for p in list_masks(folder)}, key=by_number
  )
  ids = dict(zip(names, _object_ids(names)))
  files = {
    frame_names.index(folder.name): tuple(
      MaskFile(path, ids[path.stem]) for path in list_masks(folder)
    )
    for folder in folders
  }
  listed = ", ".join(f"{name} is object {i}" for name, i in ids.items())
  note = f"{folders[0].parent}: one folder per frame, {listed}"
  return FoundMasks(files, (note,))


def _object_ids(names: Sequence[str]) -> list[int]:
  """The numbers in the names of objects if they can be ids, or 1, 2 and so on."""
  ids = find_number(names)
  if ids is None or len(set(ids)) < len(ids) or min(ids) < 1 or max(ids) >= VOID:
    return list(range(1, len(names) + 1))
  return ids
