"""Frames from a folder or a video file, and the masks that go with them."""

import abc
import dataclasses
import functools
import pathlib
from collections.abc import Iterator, Mapping

import numpy as np
from jaxtyping import UInt8

from vosjax.data.codecs import images
from vosjax.data.formats.folders import by_number
from vosjax.data.video import VOID

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
FOLDER_FRAMES_PER_SECOND = 24.0  # that of DAVIS; folders do not say


class VideoFrames(abc.ABC):
  """A video that is read frame by frame.

  Attributes:
    files: what is read.
    names: of the frames, without suffix; results are named after them.
    size: height and width of every frame.
    frames_per_second: how fast it plays.
  """

  files: tuple[pathlib.Path, ...]
  names: tuple[str, ...]
  size: tuple[int, int]
  frames_per_second: float

  def __len__(self) -> int:
    return len(self.names)

  @abc.abstractmethod
  def __getitem__(self, index: int) -> UInt8[np.ndarray, "h w 3"]:
    """One RGB frame; cheapest where indices ascend.

    Raises:
      ValueError: it is broken; with its name.
    """


@dataclasses.dataclass(frozen=True)
class FrameFolder(VideoFrames):
  """A folder with one picture per frame, in the order of their names."""

  files: tuple[pathlib.Path, ...]
  names: tuple[str, ...]
  size: tuple[int, int]
  frames_per_second: float = FOLDER_FRAMES_PER_SECOND

  def __getitem__(self, index: int) -> UInt8[np.ndarray, "h w 3"]:
    return images.read_image(self.files[index])


@dataclasses.dataclass(frozen=True)
class VideoFile(VideoFrames):
  """A file that FFmpeg decodes; frames are named 00000, 00001 and so on."""

  files: tuple[pathlib.Path]
  names: tuple[str, ...]
  size: tuple[int, int]
  frames_per_second: float

  @property
  def path(self) -> pathlib.Path:
    return self.files[0]

  def decode(self) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    """All frames in order."""
    import av

    try:
      with av.open(str(self.path)) as container:
        container.streams.video[0].thread_type = "AUTO"
        for index, frame in enumerate(container.decode(video=0)):
          picture = _upright(frame)
          _check_size(picture.shape[:2], self.size, f"{self.path}: frame {index}")
          yield picture
    except av.FFmpegError as error:
      raise _unreadable(self.path, error) from error

  def __getitem__(self, index: int) -> UInt8[np.ndarray, "h w 3"]:
    return self._cursor.read(index)

  @functools.cached_property
  def _cursor(self):
    return _Cursor(self)


class _Cursor:
  """Decodes on from where it stands, and from the start if it must go back."""

  def __init__(self, video: VideoFile):
    self._video, self._at = video, len(video)

  def read(self, index: int) -> UInt8[np.ndarray, "h w 3"]:
    if not 0 <= index < len(self._video):
      raise IndexError(index)
    at, self._at = self._at, len(self._video)  # where it is known: not after a fault
    if index < at:
      self._frames, at = self._video.decode(), -1
    while at < index:
      at += 1
      self._frame = next(self._frames, None)
      if self._frame is None:
        raise ValueError(
          f"{self._video.path}: ends before frame {at}, though it announces "
          f"{len(self._video)}. Write it anew, or give a folder of its frames."
        )
    self._at = at
    return self._frame


def open_video(path: pathlib.Path) -> VideoFrames:
  """Opens a folder of frames or a video file.

  Raises:
    ValueError: there is nothing there, or nothing that can be read; frames differ in
      size, or one is missing from a numbered folder.
  """
  if path.is_dir():
    return _open_folder(path)
  if not path.exists():
    raise ValueError(f"{path}: no such video file or folder of frames.")
  return _open_file(path)


def open_masks(path: pathlib.Path, video: VideoFrames) -> Mapping[str, pathlib.Path]:
  """Mask files by frame name: one file is the first frame's, a folder names frames.

  Raises:
    ValueError: a mask has no frame, or is not of the frames' size.
  """
  if path.is_dir():
    masks = {file.stem: file for file in _pictures(path, "masks")}
    stray = sorted(set(masks) - set(video.names))
    if stray:
      raise ValueError(
        f"{masks[stray[0]]}: no frame is named {stray[0]!r}; masks are named after "
        f"frames ({video.names[0]} to {video.names[-1]})."
      )
  elif path.exists():
    masks = {video.names[0]: path}
  else:
    raise ValueError(f"{path}: no such mask file or folder of masks.")
  for file in masks.values():
    _check_size(images.image_size(file), video.size, f"{file}: the mask")
  return masks


def read_first_labels(
  masks: Mapping[str, pathlib.Path], video: VideoFrames
) -> tuple[int, UInt8[np.ndarray, "h w"]]:
  """Index of the first frame that shows an object, and its labels.

  Raises:
    ValueError: no mask holds an object.
  """
  for index, name in enumerate(video.names):
    if name in masks:
      labels = read_new_labels(masks[name], ())
      if labels.any():
        return index, labels
  first = next(iter(masks.values()))
  where = first if len(masks) == 1 else first.parent
  raise ValueError(
    f"{where}: the mask holds no object, only background (0) and void (255). Paint "
    "each object of the first frame with an id from 1 to 254."
  )


def read_new_labels(
  path: pathlib.Path, tracked: tuple[int, ...]
) -> UInt8[np.ndarray, "h w"]:
  """Labels of a mask file without void and objects that are tracked already."""
  labels = images.read_labels(path)
  return np.where(np.isin(labels, (VOID, *tracked)), 0, labels).astype(np.uint8)


def _open_folder(path) -> FrameFolder:
  files = _pictures(path, "frames")
  names = tuple(file.stem for file in files)
  _check_no_gap(files)
  size = images.image_size(files[0])
  for file in files[1:]:
    _check_size(images.image_size(file), size, f"{file}: the frame")
  return FrameFolder(files, names, size)


def _open_file(path) -> VideoFile:
  try:
    import av
  except ImportError as error:
    raise ValueError(
      f"{path}: video files need PyAV. Run `pip install vosjax[video]`, or give a "
      "folder of frames."
    ) from error
  try:
    with av.open(str(path)) as container:
      if not container.streams.video:
        raise ValueError(f"{path}: holds no video stream.")
      stream = container.streams.video[0]
      stream.thread_type = "AUTO"
      rate = float(stream.average_rate or FOLDER_FRAMES_PER_SECOND)
      # Only decoding tells how many frames come out, how large, and if all are sound.
      count, size = 0, None
      for packet in container.demux(stream):
        if packet.is_corrupt:
          raise ValueError(
            f"{path}: is cut off or damaged. Copy or export the "
            "file again, or give a folder of its frames."
          )
        for frame in packet.decode():
          size = size or _upright(frame).shape[:2]
          count += 1
  except av.FFmpegError as error:
    raise _unreadable(path, error) from error
  if not count:
    raise ValueError(f"{path}: holds no frame.")
  names = tuple(f"{index:05d}" for index in range(count))
  return VideoFile((path,), names, size, rate)


def _pictures(path, what) -> tuple[pathlib.Path, ...]:
  files = sorted(
    (
      file
      for file in path.iterdir()
      if file.suffix.lower() in IMAGE_SUFFIXES and not file.name.startswith(".")
    ),
    key=lambda file: (by_number(file.stem), file.suffix),
  )
  if not files:
    raise ValueError(f"{path}: holds no {what} ({', '.join(IMAGE_SUFFIXES)}).")
  for file, follower in zip(files, files[1:]):
    if file.stem == follower.stem:
      raise ValueError(f"{path}: {file.name} and {follower.name} share a name.")
  return tuple(files)


def _check_no_gap(files):
  """Numbered frames come at even steps, as 0, 1, 2 or 0, 5, 10."""
  if not all(file.stem.isdecimal() for file in files):
    return
  numbers = [int(file.stem) for file in files]
  steps = np.diff(numbers)
  for index in np.flatnonzero(steps != steps.min()) if len(steps) else ():
    lost = str(numbers[index] + steps.min()).zfill(len(files[index].stem))
    raise ValueError(
      f"{files[index].parent}: frame {lost} is missing between {files[index].name} "
      f"and {files[index + 1].name}. Put it back, or number the frames anew."
    )


def _check_size(size, expected, what):
  if tuple(size) != tuple(expected):
    raise ValueError(
      f"{what} is {size[1]}x{size[0]}, but the video's first frame is "
      f"{expected[1]}x{expected[0]}."
    )


def _upright(frame) -> UInt8[np.ndarray, "h w 3"]:
  """The picture as players show it: telephones film sideways and say so."""
  picture = frame.to_ndarray(format="rgb24")
  return np.ascontiguousarray(np.rot90(picture, frame.rotation // 90))


def _unreadable(path, error) -> ValueError:
  return ValueError(f"{path}: cannot be read as a video ({error.strerror}).")
