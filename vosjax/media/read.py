"""Reads videos, which are files or folders of frames.

Frames are decoded on demand, one at a time.
"""

import abc
import dataclasses
import functools
import pathlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import UInt8

from vosjax.data.codecs import images
from vosjax.data.formats.folders import by_number
from vosjax.media.pyav import load_pyav

if TYPE_CHECKING:
  import av

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
FOLDER_FRAMES_PER_SECOND = 24.0  # as in DAVIS; a folder does not say


class VideoFrames(abc.ABC):
  """The frames of a video, as a sequence whose items are decoded on demand.

  Attributes:
    files: the image files, or the one video file.
    frame_names: names of the frames without suffix, for naming the results.
    size: (height, width) of every frame.
    frames_per_second: the speed at which the video plays.
  """

  files: tuple[pathlib.Path, ...]
  frame_names: tuple[str, ...]
  size: tuple[int, int]
  frames_per_second: float

  def __len__(self) -> int:
    return len(self.frame_names)

  @abc.abstractmethod
  def __getitem__(self, index: int) -> UInt8[np.ndarray, "h w 3"]:
    """One RGB frame; cheapest in ascending order.

    Raises:
      ValueError: the frame is damaged; the message names it.
    """


@dataclasses.dataclass(frozen=True)
class FrameFolder(VideoFrames):
  """A folder with one image per frame, in the order of their names."""

  files: tuple[pathlib.Path, ...]
  frame_names: tuple[str, ...]
  size: tuple[int, int]
  frames_per_second: float = FOLDER_FRAMES_PER_SECOND

  def __getitem__(self, index: int) -> UInt8[np.ndarray, "h w 3"]:
    return images.read_image(self.files[index])


@dataclasses.dataclass(frozen=True)
class VideoFile(VideoFrames):
  """A file that FFmpeg decodes; its frames are named 00000, 00001 and so on."""

  files: tuple[pathlib.Path]
  frame_names: tuple[str, ...]
  size: tuple[int, int]
  frames_per_second: float

  @property
  def path(self) -> pathlib.Path:
    """The video file."""
    return self.files[0]

  def decode(self) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    """All frames in order.

    Raises:
      ValueError: the file is damaged, or a frame differs in size.
    """
    import av

    try:
      with av.open(str(self.path)) as container:
        container.streams.video[0].thread_type = "AUTO"
        for index, frame in enumerate(container.decode(video=0)):
          image = _apply_rotation(frame)
          _check_size(image.shape[:2], self.size, f"{self.path}: frame {index}")
          yield image
    except av.FFmpegError as error:
      raise _unreadable(self.path, error) from error

  def __getitem__(self, index: int) -> UInt8[np.ndarray, "h w 3"]:
    return self._decoder.read(index)

  @functools.cached_property
  def _decoder(self) -> "_Decoder":
    return _Decoder(self)


class _Decoder:
  """Random access by decoding forwards; going back restarts at the first frame."""

  def __init__(self, video: VideoFile):
    self._video = video
    self._frames: Iterator[UInt8[np.ndarray, "h w 3"]] = iter(())
    self._latest: tuple[int, UInt8[np.ndarray, "h w 3"]] | None = None

  def read(self, index: int) -> UInt8[np.ndarray, "h w 3"]:
    if not 0 <= index < len(self._video):
      raise IndexError(index)
    latest, self._latest = self._latest, None  # forget the position if decoding fails
    if latest is None or index < latest[0]:
      self._frames, position = self._video.decode(), -1
    else:
      position, frame = latest
    while position < index:
      position += 1
      try:
        frame = next(self._frames)
      except StopIteration:
        raise ValueError(
          f"{self._video.path}: ends before frame {position}, but had "
          f"{len(self._video)} frames at first. Export it again, or give a folder of "
          "its frames."
        ) from None
    self._latest = position, frame
    return frame


def read_video(path: pathlib.Path) -> VideoFrames:
  """Reads the number, names and size of a video's frames; checks that they are usable.

  Args:
    path: of a video file, or of a folder with one image per frame.

  Raises:
    ValueError: the path does not exist or holds nothing readable, frames differ in
      size, or a frame is missing from a numbered folder.
  """
  if path.is_dir():
    return _read_folder(path)
  if not path.exists():
    raise ValueError(f"{path}: no such video file or folder of frames.")
  return _read_file(path)


def _read_folder(path: pathlib.Path) -> FrameFolder:
  files = _image_files(path, "frames")
  _check_no_gap(files)
  size = images.image_size(files[0])
  for file in files[1:]:
    _check_size(images.image_size(file), size, f"{file}: the frame")
  return FrameFolder(files, tuple(file.stem for file in files), size)


def _read_file(path: pathlib.Path) -> VideoFile:
  av = load_pyav(f"{path}: video files", ", or give a folder of frames")
  try:
    with av.open(str(path)) as container:
      if not container.streams.video:
        raise ValueError(f"{path}: contains no video stream.")
      stream = container.streams.video[0]
      stream.thread_type = "AUTO"
      frames_per_second = float(stream.average_rate or FOLDER_FRAMES_PER_SECOND)
      # A header may be wrong: only decoding shows the number of frames, their size
      # and any damage.
      count, size = 0, (0, 0)
      for packet in container.demux(stream):
        if packet.is_corrupt:
          raise ValueError(
            f"{path}: is truncated or damaged. Copy or export the file again, or give "
            "a folder of its frames."
          )
        for frame in packet.decode():
          if not count:
            height, width, _ = _apply_rotation(frame).shape
            size = height, width
          count += 1
  except av.FFmpegError as error:
    raise _unreadable(path, error) from error
  if not count:
    raise ValueError(f"{path}: contains no frame.")
  names = tuple(f"{index:05d}" for index in range(count))
  return VideoFile((path,), names, size, frames_per_second)


def _image_files(path: pathlib.Path, kind: str) -> tuple[pathlib.Path, ...]:
  """The images in a folder, sorted by the numbers in their names.

  Args:
    path: of the folder.
    kind: "frames" or "masks", for error messages.

  Raises:
    ValueError: there is no image, or two differ only in their suffix.
  """
  files = sorted(
    (
      file
      for file in path.iterdir()
      if file.suffix.lower() in IMAGE_SUFFIXES and not file.name.startswith(".")
    ),
    key=lambda file: (by_number(file.stem), file.suffix),
  )
  if not files:
    raise ValueError(f"{path}: contains no {kind} ({', '.join(IMAGE_SUFFIXES)}).")
  for file, following in zip(files, files[1:]):
    if file.stem == following.stem:
      raise ValueError(
        f"{path}: {file.name} and {following.name} have the same name. "
        "Remove one of them."
      )
  return tuple(files)


def _check_no_gap(files: Sequence[pathlib.Path]) -> None:
  """Requires numbered frames to be equally spaced, such as 0, 1, 2 or 0, 5, 10."""
  if not all(file.stem.isdecimal() for file in files):
    return
  numbers = [int(file.stem) for file in files]
  steps = np.diff(numbers)
  uneven = np.flatnonzero(steps != steps.min()).tolist() if len(steps) else []
  for index in uneven:
    missing = str(numbers[index] + steps.min()).zfill(len(files[index].stem))
    raise ValueError(
      f"{files[index].parent}: frame {missing} is missing between {files[index].name} "
      f"and {files[index + 1].name}. Put it back, or renumber the frames."
    )


def _check_size(size: Sequence[int], expected: Sequence[int], what: str) -> None:
  if tuple(size) != tuple(expected):
    raise ValueError(
      f"{what} is {size[1]}x{size[0]}, but the video's first frame is "
      f"{expected[1]}x{expected[0]}."
    )


def _apply_rotation(frame: "av.VideoFrame") -> UInt8[np.ndarray, "h w 3"]:
  """The RGB image of a frame, rotated as the container's metadata says."""
  image = frame.to_ndarray(format="rgb24")
  return np.ascontiguousarray(np.rot90(image, frame.rotation // 90))


def _unreadable(path: pathlib.Path, error: "av.FFmpegError") -> ValueError:
  return ValueError(f"{path}: cannot be read as a video ({error.strerror}).")
