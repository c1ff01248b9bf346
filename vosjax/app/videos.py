"""Opens videos for the app: quickly, and several times at once."""

import dataclasses
import pathlib

from vosjax.media.frame_folder import IMAGE_SUFFIXES
from vosjax.media.read import read_video
from vosjax.media.video_frames import VideoFrames

VIDEO_SUFFIXES = (
  *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".mts"),
  *(".m2ts", ".wmv", ".flv", ".3gp", ".ogv", ".gif", ".h264", ".hevc"),
)


def read(path: pathlib.Path, allow_damaged: bool) -> VideoFrames:
  """A video of which only what is shown is decoded.

  Args:
    path: of a video file, or of a folder with one image per frame.
    allow_damaged: decode all of it now, and leave damaged frames out.

  Raises:
    ValueError: it is not a video.
  """
  return read_video(
    path, allow_gaps=True, allow_damaged=allow_damaged, check=allow_damaged
  )


def another_reader(video: VideoFrames) -> VideoFrames:
  """The same video with a decoder of its own, for another thread."""
  return dataclasses.replace(video)  # type: ignore[type-var]  # all are dataclasses


def holds_frames(folder: pathlib.Path) -> bool:
  """Whether a folder directly holds images."""
  try:
    return any(path.suffix.lower() in IMAGE_SUFFIXES for path in folder.iterdir())
  except OSError:  # it may not be read
    return False
