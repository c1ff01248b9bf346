"""Opens videos for the app: quickly, and several times at once."""

import dataclasses
import hashlib
import pathlib

from vosjax.data.codecs import images
from vosjax.media.animation import is_animation
from vosjax.media.pyav import load_pyav
from vosjax.media.read import read_video
from vosjax.media.video_frames import VideoFrames

VIDEO_SUFFIXES = (
  *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".mts"),
  *(".m2ts", ".wmv", ".flv", ".3gp", ".ogv", ".gif", ".h264", ".hevc"),
)

# What FFmpeg may take a file for, whatever its name: containers of frames, but no
# playlists, which lead to other files.
_CONTAINERS = (
  *("mov", "matroska", "avi", "mpegts", "mpeg", "mpegvideo", "asf", "flv", "ogg"),
  *("gif", "apng", "h264", "hevc"),
)


def read(path: pathlib.Path, allow_damaged: bool) -> VideoFrames:
  """A video of which only what is shown is decoded.

  Args:
    path: of a video file, or of a folder with one image per frame.
    allow_damaged: decode all of it now, and leave damaged frames out.

  Raises:
    ValueError: it is not a video.
  """
  if path.is_file() and not is_animation(path):
    _refuse_playlist(path)
  return read_video(
    path, allow_gaps=True, allow_damaged=allow_damaged, check=allow_damaged
  )


def _refuse_playlist(path: pathlib.Path) -> None:
  """Refuses a file that could make FFmpeg read other files.

  Raises:
    ValueError: it is none of the containers that hold frames.
  """
  av = load_pyav("video files")
  try:
    options = {"format_whitelist": ",".join(_CONTAINERS)}
    av.open(f"file:{path}", options=options, metadata_errors="replace").close()
  except av.ArgumentError:
    raise ValueError(
      f"{path}: is not a video file of a common kind. Export it as MP4."
    ) from None
  except av.FFmpegError:
    return  # damaged: `read_video` says how


def another_reader(video: VideoFrames) -> VideoFrames:
  """The same video with a decoder of its own, for another thread."""
  return dataclasses.replace(video)  # type: ignore[type-var]  # all are dataclasses


def version(video: VideoFrames) -> str:
  """Digest of the video's files as they are now, by their sizes and times of change."""
  digest = hashlib.sha1(f"{len(video)} {video.size}".encode())
  for file in video.files:
    status = file.stat()
    digest.update(f"{file.name} {status.st_size} {status.st_mtime_ns}".encode())
  return digest.hexdigest()


def holds_frames(folder: pathlib.Path) -> bool:
  """Whether a folder directly holds images."""
  try:
    return any(path.suffix.lower() in images.SUFFIXES for path in folder.iterdir())
  except OSError:  # it may not be read
    return False
