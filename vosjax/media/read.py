"""Reads videos (files or folders of frames) and the masks that go with them.

Frames and masks are decoded on demand, one at a time.
"""

import dataclasses
import pathlib
from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import UInt8

from vosjax.data.codecs import images
from vosjax.media.frame_folder import image_files, read_folder
from vosjax.media.video_file import read_file
from vosjax.media.video_frames import VideoFrames, check_size


@dataclasses.dataclass(frozen=True)
class VideoMasks:
  """Masks of some frames of a video, which are read on demand.

  Attributes:
    name: path of the file or folder, for error messages.
    frame_names: names of the video's frames.
    files: mask files by the name of their frame.
  """

  name: str
  frame_names: tuple[str, ...]
  files: Mapping[str, pathlib.Path]

  def __len__(self) -> int:
    """Number of frames, with and without a mask."""
    return len(self.frame_names)

  def labels(self, index: int) -> UInt8[np.ndarray, "h w"] | None:
    """Object ids of one frame; None if it has no mask.

    Raises:
      ValueError: the file is not a label map.
    """
    file = self.files.get(self.frame_names[index])
    return None if file is None else images.read_labels(file)


def read_video(
  path: pathlib.Path,
  *,
  allow_gaps: bool = False,
  allow_damaged: bool = False,
  check: bool = True,
  progress: Callable[[int, int], None] | None = None,
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
  return read_file(path, allow_damaged=allow_damaged, check=check, progress=progress)


def read_masks(path: pathlib.Path, video: VideoFrames) -> VideoMasks:
  """Finds the masks of a video and checks that they fit it.

  Args:
    path: of the first frame's mask, or of a folder of masks that are named after
      frames.
    video: the frames.

  Raises:
    ValueError: there is no mask, or one belongs to no frame or differs from the frames
      in size.
  """
  if path.is_dir():
    files = {file.stem: file for file in image_files(path, "masks")}
    stray = sorted(set(files) - set(video.frame_names))
    if stray:
      first, last = video.frame_names[0], video.frame_names[-1]
      raise ValueError(
        f"{files[stray[0]]}: no frame is named {stray[0]!r}; masks must be named after "
        f"frames ({first} to {last})."
      )
  elif path.exists():
    files = {video.frame_names[0]: path}
  else:
    raise ValueError(f"{path}: no such mask file or folder of masks.")
  for file in files.values():
    check_size(images.image_size(file), video.size, f"{file}: the mask")
  return VideoMasks(str(path), video.frame_names, files)
