"""Opens videos for the app: quickly, and several times at once."""

import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Sequence

from vosjax.data.codecs import images
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
  return read_video(
    path,
    allow_gaps=True,
    allow_damaged=allow_damaged,
    check=allow_damaged,
    formats=_CONTAINERS,
  )


def resolve(path: pathlib.Path, roots: Sequence[pathlib.Path]) -> pathlib.Path:
  """A path without links and `..`, if it is a root or below one.

  Args:
    path: of a file or a folder, which need not exist.
    roots: resolved paths.

  Raises:
    ValueError: it is elsewhere, or no file can have it.
  """
  try:
    resolved = path.resolve()
    f"{path}{resolved}".encode()
  except (OSError, ValueError, RuntimeError):  # too long, a zero byte, a circle
    raise ValueError("the path is not one that a file can have.") from None
  if not any(resolved.is_relative_to(root) for root in roots):
    raise ValueError(
      f"{path}: is outside of the folders that were opened. Name its folder when "
      "you start `vosjax app`, or drop the video on the page."
    )
  return resolved


def require_inside(path: pathlib.Path, roots: Sequence[pathlib.Path]) -> None:
  """Requires that reading a video opens nothing but plain files below the roots.

  Args:
    path: of the video, as `resolve` returns it.
    roots: resolved paths.

  Raises:
    ValueError: an image is elsewhere, behind a link, or something is no plain file
      (opening a pipe would wait for ever); or there is no video.
  """
  if not path.is_dir():
    if path.exists() and not path.is_file():
      raise ValueError(f"{path}: is neither a file nor a folder.")
    return
  with os.scandir(path) as inside:
    frames = [item for item in inside if _is_image(item.name)]
  if not frames:
    raise ValueError(f"{path}: contains no frames ({', '.join(images.SUFFIXES)}).")
  for item in frames:
    require_unicode(pathlib.Path(item.name))
    if item.is_symlink():
      resolve(pathlib.Path(item), roots)
    if not item.is_file():
      raise ValueError(f"{item.path}: is not a file.")


def require_unicode(path: pathlib.Path) -> None:
  """Requires a path that can be sent to the page.

  Raises:
    ValueError: its name is not UTF-8, such as one that an old system wrote.
  """
  if not is_unicode(str(path)):
    raise ValueError(f"{ascii(str(path))}: the name is not UTF-8. Rename it.")


def is_unicode(text: str) -> bool:
  """Whether a text, such as the name of a file, can be sent to the page."""
  try:
    text.encode()
  except UnicodeEncodeError:
    return False
  return True


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
    return any(_is_image(path.name) for path in folder.iterdir())
  except OSError:  # it may not be read
    return False


def _is_image(name: str) -> bool:
  return pathlib.PurePath(name).suffix.lower() in images.SUFFIXES
