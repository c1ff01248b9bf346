"""Opening a video file and decoding its frames one after the other."""

import pathlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from vosjax.media.pyav import load_pyav

if TYPE_CHECKING:
  import av


def open_video(path: pathlib.Path, formats: tuple[str, ...] = ()) -> Any:
  """Opens a file with PyAV, whatever characters its name contains.

  Args:
    path: of the file.
    formats: FFmpeg's names of what the file may be taken for; empty for anything,
      also for playlists, which lead to other files.

  Raises:
    ValueError: the file is none of these formats.
  """
  av = load_pyav(f"{path}: video files", ", or give a folder of frames")
  options = {"format_whitelist": ",".join(formats)} if formats else {}
  try:
    return open_container(f"file:{path}", options=options)
  except av.ArgumentError:
    if not formats:
      raise
    raise ValueError(
      f"{path}: is not a video file of a common kind. Export it as MP4."
    ) from None


def open_container(target: Any, **options: Any) -> Any:
  """Opens what PyAV can read, whatever bytes its metadata hold.

  Args:
    target: a file that is open, or a name that FFmpeg understands.
    **options: of `av.open`.

  Raises:
    av.FFmpegError: it cannot be opened.
  """
  av = load_pyav("video files")
  if int(av.__version__.split(".")[0]) < 19:  # what later ones do without being asked
    options["metadata_errors"] = "surrogateescape"
  return av.open(target, **options)


def video_streams(container: Any, name: str) -> list[Any]:
  """The video streams of a container, without cover images.

  Args:
    container: opened by PyAV.
    name: of the source, for error messages.

  Raises:
    ValueError: there is none, or the first one has an unknown codec.
  """
  av = load_pyav("video files")
  cover = av.stream.Disposition.attached_pic
  streams = [s for s in container.streams.video if not s.disposition & cover]
  if not streams:
    raise ValueError(f"{name}: contains no video stream.")
  if streams[0].codec_context is None:
    raise ValueError(f"{name}: its video has a codec that cannot be decoded.")
  return streams


def decode(
  container: Any, stream: Any, errors: list[str], *, ahead: bool = True
) -> "Iterator[av.VideoFrame]":
  """Yields all frames that can be decoded, in the order in which they are shown.

  Args:
    container: that holds the stream.
    stream: of video.
    errors: receives a line for each packet that cannot be read or decoded.
    ahead: decode several frames at a time, which is faster, but comes late. A damaged
      frame then takes sound neighbours with it, or goes unnoticed.
  """
  av = load_pyav("video files")
  stream.thread_type = "AUTO" if ahead else "NONE"
  if not ahead:
    stream.codec_context.thread_count = 1  # repairs depend on nothing but the file
  packets = container.demux(stream)
  while True:
    try:
      packet = next(packets, None)
    except av.FFmpegError as error:  # what was read so far is still to be decoded
      errors.append(error.strerror)
      packet = None
    try:
      yield from stream.codec_context.decode(packet)
    except av.EOFError:
      return
    except av.FFmpegError as error:
      errors.append(error.strerror)
    if packet is None or not packet.size:
      return
