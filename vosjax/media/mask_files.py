"""Finds the mask files of a video, and the frames and objects that they belong to."""

import dataclasses
import pathlib
import re
from collections.abc import Mapping, Sequence

from vosjax.data.codecs.label_images import IMAGE_SUFFIXES, NUMPY_SUFFIX
from vosjax.data.formats.folders import by_number
from vosjax.data.formats.frame_names import find_number, match_names
from vosjax.labels import VOID

MASK_SUFFIXES = (*IMAGE_SUFFIXES, NUMPY_SUFFIX)


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
  paths: Sequence[pathlib.Path], frame_names: Sequence[str], lost_first: str = ""
) -> FoundMasks:
  """Finds the masks in the given files or folders, see `masks.read_masks`.

  Raises:
    ValueError: there is no mask, or one belongs to no frame for sure.
  """
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
  """Files of frames if they are named exactly so, and else of an object each."""
  stems = {path.stem for path in paths}
  exact = stems <= set(frame_names)
  if exact and len(stems) == len(paths):
    files = {frame_names.index(path.stem): (MaskFile(path),) for path in paths}
    return FoundMasks(files)
  is_named = exact and len(stems) == 1
  if not is_named:
    _require_first(paths[0], frame_names, lost_first)
  frame = frame_names.index(paths[0].stem) if is_named else 0
  objects = tuple(MaskFile(path, number) for number, path in enumerate(paths, 1))
  listed = [f"{short_name(o.path, paths)} is object {o.object_id}" for o in objects]
  note = f"frame {frame_names[frame]}: {', '.join(listed)}"
  return FoundMasks({frame: objects}, (note,))


def _named_after_objects(names: Sequence[str]) -> bool:
  """Whether names are those of objects: obj1 and obj2, or dog and cat."""
  return all(
    re.search("obj|inst", name, re.IGNORECASE) or not re.search(r"\d", name)
    for name in names
  )


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
