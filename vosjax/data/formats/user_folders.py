"""Folders of frames (or video files) beside folders of masks, as users have them."""

import dataclasses
from collections.abc import Collection, Mapping
from pathlib import Path

from vosjax.data.formats.folders import (
  FolderVideo,
  by_number,
  first_few,
  have_one_affix,
  image_files,
  numbers,
  subfolders,
)

FRAME_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
VIDEO_SUFFIXES = (".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".mpg", ".wmv")
# Names of the two folders, in lower case; the first ones are those of DAVIS.
FRAME_FOLDERS = ("jpegimages", "frames", "images", "imgs", "rgb", "videos")
MASK_FOLDERS = ("annotations", "masks", "labels", "gt", "segmentations")


@dataclasses.dataclass(frozen=True)
class VideoPart:
  """Frames of a video file, by number."""

  path: Path
  indices: tuple[int, ...]


@dataclasses.dataclass
class Found:
  """What was found in two folders.

  Attributes:
    videos: frames of a video file have paths at which they are not yet.
    parts: the video files, by the name of the video.
    problems: files that do not belong together.
    matched: names of the videos whose masks are named otherwise than their frames, by
      an example of how they were matched.
  """

  videos: list[FolderVideo] = dataclasses.field(default_factory=list)
  parts: dict[str, VideoPart] = dataclasses.field(default_factory=dict)
  problems: list[str] = dataclasses.field(default_factory=list)
  matched: dict[str, list[str]] = dataclasses.field(default_factory=dict)

  @property
  def notes(self) -> tuple[str, ...]:
    """How masks were matched, one line for all videos with the same names."""
    return tuple(
      f"{first_few(names, 5)}: masks are named otherwise than frames, and were matched "
      f"by number: {example}"
      for example, names in self.matched.items()
    )


def find_roots(source: Path) -> tuple[Path, Path] | None:
  """The folders of frames and of masks in a folder, by their names; None without."""
  inside = {name.lower(): source / name for name in reversed(subfolders(source))}
  frames = [inside[name] for name in FRAME_FOLDERS if name in inside]
  masks = [inside[name] for name in MASK_FOLDERS if name in inside]
  for folder in masks:
    if any(_is_image(path) for path in folder.rglob("*")):
      return (frames[0], folder) if frames else None
  return None


def video_names(frames_root: Path) -> list[str]:
  """Names of the videos: folders and video files; "." for one video without folder."""
  names = {*subfolders(frames_root), *_video_files(frames_root)}
  if names or not image_files(frames_root, FRAME_SUFFIXES):
    return sorted(names)
  return ["."]


def add_video(
  found: Found, frames_root: Path, labels_root: Path, name: str, title: str, to: Path
) -> None:
  """Adds the video of a name to what was found.

  Args:
    found: is added to.
    frames_root: contains the folder of frames, or the video file.
    labels_root: contains the folder of masks.
    name: of the video; "." if the files lie in the two folders themselves.
    title: name of the result.
    to: folder for the frames of video files.
  """
  labels = image_files(labels_root / name, FRAME_SUFFIXES)
  path = _video_files(frames_root).get(name)
  if path is not None and not (frames_root / name).is_dir():
    _add_part(found, path, labels, title, to)
    return
  frames_dir = frames_root / name
  frames = image_files(frames_dir, FRAME_SUFFIXES)
  if not frames:
    found.problems.append(f"{frames_dir}: no frames (.jpg, .jpeg or .png).")
  labels = _match_names(found, title, frames, labels)
  found.problems += [
    f"{path}: a label map without frame {frames_dir.name}/{stem}.jpg."
    for stem, path in labels.items()
    if frames and stem not in frames
  ]
  stems = sorted(frames, key=by_number)
  video = FolderVideo(
    title,
    tuple(frames[stem] for stem in stems),
    tuple(labels.get(stem) for stem in stems),
  )
  if frames:
    found.videos.append(video)


def _add_part(
  found: Found, path: Path, labels: Mapping[str, Path], title: str, to: Path
) -> None:
  by_index = numbers(labels)
  if not by_index:
    found.problems.append(
      f"{path}: no masks named after the numbers of its frames (00000.png, ...), one "
      f"per number, in a folder {path.stem} of masks."
    )
    return
  indices = tuple(sorted(by_index))
  found.parts[title] = VideoPart(path, indices)
  found.videos.append(
    FolderVideo(
      title,
      tuple(to / title / f"{index:05d}.jpg" for index in indices),
      tuple(labels[by_index[index]] for index in indices),
    )
  )


def _match_names(
  found: Found, title: str, frames: Collection[str], labels: dict[str, Path]
) -> dict[str, Path]:
  """Masks by the name of their frame, by the numbers in both if names differ."""
  if not labels or any(stem in frames for stem in labels):
    return labels
  frame_of, label_of = numbers(frames), numbers(labels)
  if not frame_of or not label_of or not label_of.keys() <= frame_of.keys():
    return labels
  if not have_one_affix(labels) or not have_one_affix(frames):
    return labels
  number, stem = next(iter(label_of.items()))
  example = f"{labels[stem].name} belongs to frame {frame_of[number]}"
  found.matched.setdefault(example, []).append(title)
  return {frame_of[number]: labels[stem] for number, stem in label_of.items()}


def _video_files(folder: Path) -> dict[str, Path]:
  return image_files(folder, VIDEO_SUFFIXES)


def _is_image(path: Path) -> bool:
  return path.suffix.lower() in FRAME_SUFFIXES
