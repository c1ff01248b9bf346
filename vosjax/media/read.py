"""Reads videos, which are files or folders of frames.

Frames are decoded on demand, one at a time.
"""

import pathlib
from collections.abc import Callable

from vosjax.media import animation
from vosjax.media.frame_folder import read_folder
from vosjax.media.video_file import read_file
from vosjax.media.video_frames import VideoFrames


def read_video(
  path: pathlib.Path,
  *,
  allow_gaps: bool = False,
  allow_damaged: bool = False,
  check: bool = True,
  progress: Callable[[int, int], None] | None = None,
  formats: tuple[str, ...] = (),
) -> VideoFrames:
  """Reads the number, names and size of a video's frames; checks that they are usable.

  Args:
    path: of a video file, or of a folder with one image per frame.
    allow_gaps: warn of missing numbers in a folder of frames, instead of refusing it.
    allow_damaged: warn of damaged frames and leave them out, instead of refusing the
      video. The others keep their names.
    check: look for damage before anything is done with the video. A file whose frames
      fit in memory is decoded for it once and for all, a longer one once more. Without
      it, a long file opens at once, and damage raises when it is met.
    progress: called with the number of checked frames and the number of all.
    formats: FFmpeg's names of what a file may be taken for; empty for anything.

  Raises:
    ValueError: the path does not exist or holds nothing readable, frames differ in
      size, are damaged, or one is missing from a numbered folder.
  """
  if path.is_dir():
    return read_folder(
      path,
      allow_gaps=allow_gaps,
      allow_damaged=allow_damaged,
      check=check,
      progress=progress,
    )
  if not path.exists():
    hint = ""
    if "%" in path.name or "*" in path.name:
      hint = f" Give the folder of the frames, {path.parent}."
    raise ValueError(f"{path}: no such video file or folder of frames.{hint}")
  if animation.is_animation(path):
    return animation.read_animation(path, allow_damaged=allow_damaged)
  return read_file(
    path,
    allow_damaged=allow_damaged,
    check=check,
    progress=progress,
    formats=formats,
  )
