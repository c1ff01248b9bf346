"""Folders of frames (or video files) beside folders of masks, as users have them."""

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path

from vosjax.data.codecs import images, label_images
from vosjax.data.formats.folders import (
  FolderVideo,
  by_number,
  first_few,
  image_files,
  numbers,
  subfolders,
)
from vosjax.data.formats.frame_names import NameMatch, match_videos

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
    matched = [
      f"{first_few(names, 5)}: masks are named otherwise than frames, and were matched "
      f"{example}"
      for example, names in self.matched.items()
    ]
    from_1 = [name for name, part in self.parts.items() if min(part.indices) == 1]
    if from_1:
      matched.append(
        f"{first_few(from_1, 5)}: the first mask, number 1, is taken as that of the "
        "second frame: frames of a video file are numbered from 0. If masks are "
        "numbered from 1, as by ffmpeg, number them from 0"
      )
    return tuple(matched)


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
  if names or not image_files(frames_root, images.SUFFIXES):
    return sorted(names)
  return ["."]


def find_videos(
  frames_root: Path, labels_root: Path, titles: Mapping[str, str], to: Path
) -> Found:
  """Finds the frames and the masks of videos.

  Args:
    frames_root: contains the folders of frames, or the video files.
    labels_root: contains the folders of masks.
    titles: names of the videos in the result, by those of folders and files; "." if the
      files lie in the two folders themselves.
    to: folder for the frames of video files.
  """
  found = Found()
  files = _video_files(frames_root)
  folders: dict[str, tuple[dict[str, Path], dict[str, Path]]] = {}
  for name, title in titles.items():
    labels = image_files(labels_root / name, label_images.IMAGE_SUFFIXES)
    if name in files and not (frames_root / name).is_dir():
      _add_part(found, files[name], labels, title, to)
      continue
    frames = image_files(frames_root / name, images.SUFFIXES)
    if frames:
      folders[name] = frames, labels
    else:
      found.problems.append(f"{frames_root / name}: no frames (.jpg, .jpeg or .png).")
  names = [(list(labels), _ordered(frames)) for frames, labels in folders.values()]
  matches = match_videos(names)
  for (name, (frames, labels)), match in zip(folders.items(), matches):
    _add_folder(found, frames_root / name, titles[name], frames, labels, match)
  return found


def _add_folder(
  found: Found,
  folder: Path,
  title: str,
  frames: Mapping[str, Path],
  labels: Mapping[str, Path],
  match: NameMatch | None,
) -> None:
  """Adds a video of frames and masks to what was found."""
  stems = _ordered(frames)
  if match is None:
    found.problems += [
      f"{path}: a label map without frame {folder.name}/{stem}.jpg."
      for stem, path in labels.items()
      if stem not in frames
    ]
    of_frame = {t: labels[stem] for t, stem in enumerate(stems) if stem in labels}
  else:
    of_frame = {t: labels[name] for name, t in match.frames.items()}
    if match.how:
      t, path = next(iter(of_frame.items()))
      example = f"{match.how}: {path.name} belongs to frame {stems[t]}"
      found.matched.setdefault(example, []).append(title)
  files = tuple(frames[stem] for stem in stems)
  labels_of = tuple(of_frame.get(t) for t in range(len(stems)))
  found.videos.append(FolderVideo(title, files, labels_of))


def _ordered(names: Iterable[str]) -> list[str]:
  return sorted(names, key=by_number)


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


def _video_files(folder: Path) -> dict[str, Path]:
  return image_files(folder, VIDEO_SUFFIXES)


def _is_image(path: Path) -> bool:
  return path.suffix.lower() in label_images.IMAGE_SUFFIXES
