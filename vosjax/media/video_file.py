"""Video files: opening them, and reading their frames in any order.

`read_file` lists the frames from the packets. To find damage, which packets do not
show, every frame is decoded once: frames of a short video are kept, those of a long one
are decoded again when they are read.
"""

import dataclasses
import functools
import itertools
import pathlib
import threading
from collections.abc import Callable
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float64, UInt8

from vosjax.data.codecs import images
from vosjax.data.codecs.bit_depth import deep_warning
from vosjax.media import containers, decoding, pixels
from vosjax.media.frame_folder import FRAMES_PER_SECOND
from vosjax.media.pyav import load_pyav
from vosjax.media.random_access import FrameReader
from vosjax.media.survey import (
  Survey,
  UsableFrames,
  survey_frames,
  time_jumps,
  usable_frames,
)
from vosjax.media.video_frames import VideoFrames, check_size
from vosjax.media.video_index import PacketIndex, SeekPoint, index_packets

if TYPE_CHECKING:
  import av

_KEPT_BYTES = 512 << 20  # decoded frames of a short video, which are kept
_NUM_FIRST_FRAMES = 16  # decoded if the rest is not checked
_CODECS = {
  "av1": "AV1",
  "h264": "H.264",
  "hevc": "H.265",
  "mjpeg": "Motion JPEG",
  "mpeg2video": "MPEG-2",
  "mpeg4": "MPEG-4",
  "prores": "ProRes",
}


@dataclasses.dataclass(frozen=True, eq=False)
class VideoFile(VideoFrames):
  """A file that FFmpeg decodes; its frames are named 00000, 00001 and so on.

  Attributes:
    stamps: what identifies each frame, ascending: its time stamp, or its number in the
      file if `is_timed` is False.
    is_timed: whether time stamps tell the order of frames.
    time_base: seconds of one unit of the time stamps.
    seek_points: where decoding can begin.
    orientation: how frames are turned.
    bits: of 16-bit values, those that are used.
    is_damaged: whether some of the file cannot be decoded.
    kept: all frames of a short video, as decoded; None for a long one.
    formats: see `decoding.open_video`.
  """

  files: tuple[pathlib.Path]
  frame_names: tuple[str, ...]
  size: tuple[int, int]
  frames_per_second: float
  warnings: tuple[str, ...]
  details: tuple[str, ...]
  stamps: tuple[int, ...]
  is_timed: bool
  time_base: Fraction
  seek_points: tuple[SeekPoint, ...]
  orientation: pixels.Orientation
  bits: int
  is_damaged: bool
  kept: tuple[Any, ...] | None
  lost_first: str = ""
  formats: tuple[str, ...] = ()
  _lock: Any = dataclasses.field(
    default_factory=threading.Lock, repr=False, compare=False
  )

  @property
  def name(self) -> str:
    return str(self.files[0])

  @functools.cached_property
  def times(self) -> Float64[np.ndarray, " n"]:
    if not self.is_timed:
      return np.asarray(self.stamps, np.float64) / self.frames_per_second
    stamps = np.asarray(self.stamps, np.int64)
    return (stamps - stamps[:1]) * float(self.time_base)

  def _read(self, index: int) -> UInt8[np.ndarray, "h w 3"]:
    where = f"{self.name}: frame {self.frame_names[index]} ({self.times[index]:.2f} s)"
    with self._lock:  # a frame and a decoder serve one thread at a time
      frame = self._reader.read(index) if self.kept is None else self.kept[index]
      if frame is None:
        raise ValueError(
          f"{where} is damaged. Copy or export the file again, or give --allow-damaged "
          "to leave such frames out."
        )
      check_size(pixels.upright_size(frame, self.orientation), self.size, where)
      return pixels.to_rgb(frame, self.orientation, self.bits)

  @functools.cached_property
  def _reader(self) -> FrameReader:
    return FrameReader(
      self.files[0],
      self.stamps,
      self.seek_points,
      is_timed=self.is_timed,
      is_damaged=self.is_damaged,
      formats=self.formats,
    )


def read_file(
  path: pathlib.Path,
  *,
  allow_damaged: bool = False,
  check: bool = True,
  progress: Callable[[int, int], None] | None = None,
  formats: tuple[str, ...] = (),
) -> VideoFile:
  """Lists the frames of a file; see `vosjax.media.read.read_video`."""
  av = load_pyav(f"{path}: video files", ", or give a folder of frames")
  try:
    with decoding.open_video(path, formats) as container:
      header = _Header.of(path, container)
      index = index_packets(container, decoding.video_streams(container, str(path))[0])
    survey = None
    if not check:
      survey = _survey(path, index, most=_NUM_FIRST_FRAMES, formats=formats)
    is_listed = survey is not None and _is_as_listed(survey, index)
    if survey is None or not is_listed:
      survey = _survey_all(path, index, progress, formats).in_order(index)
  except av.FFmpegError as error:
    raise _unreadable(path, error) from error
  if not survey.stamps:
    raise ValueError(f"{path}: contains no frame that can be decoded.")
  if is_listed:
    usable = _listed_frames(index)
  else:
    cut_off = containers.cut_off(path)
    if cut_off is not None:
      index, cut_off = _cut(index, header, cut_off)
    usable = usable_frames(survey, index, header.time_base, cut_off)
    if check:
      _check_damage(path, usable, allow_damaged)
  if not usable.numbers:
    raise ValueError(f"{path}: contains no frame that can be decoded.")
  found = _video_file(path, header, index, survey, usable)
  return dataclasses.replace(found, formats=formats)


def _survey_all(
  path: pathlib.Path,
  index: PacketIndex,
  progress: Callable[[int, int], None] | None,
  formats: tuple[str, ...],
) -> Survey:
  """Decodes all frames; those of a short video are kept."""
  survey_kept = functools.partial(
    _survey, path, index, most_bytes=_KEPT_BYTES, formats=formats
  )
  survey = survey_kept(progress=progress)
  fewer = len(survey.stamps) < len(index.stamps)
  if survey.errors or index.damaged or index.error or fewer:
    # Decoders with several threads drop a damaged frame's neighbours, or the error.
    survey = survey_kept(ahead=False)
  return survey


def _survey(
  path: pathlib.Path,
  index: PacketIndex,
  *,
  most: int | None = None,
  most_bytes: int = 0,
  ahead: bool = True,
  progress: Callable[[int, int], None] | None = None,
  formats: tuple[str, ...] = (),
) -> Survey:
  """Decodes the first `most` frames, or all; see `survey_frames`."""
  errors: list[str] = []
  with decoding.open_video(path, formats) as container:
    stream = decoding.video_streams(container, str(path))[0]
    frames = decoding.decode(container, stream, errors, ahead=ahead)
    survey = survey_frames(
      itertools.islice(frames, most), len(index.stamps), most_bytes, progress
    )
  return dataclasses.replace(survey, errors=errors)


def _cut(index: PacketIndex, header: "_Header", reason: str) -> tuple[PacketIndex, str]:
  """The index of a file that is cut off, and the reason with what it implies."""
  if header.container == "mpegts":  # its last frame ends where the file does
    index = dataclasses.replace(index, damaged=(*index.damaged, index.last))
  if header.num_frames > index.num_packets:
    absent = header.num_frames - index.num_packets
    reason += f", with {absent} of its {header.num_frames} frames"
  return index, reason


@dataclasses.dataclass(frozen=True)
class _Header:
  """What the container says about its video streams."""

  container: str
  num_frames: int  # 0 if it does not say
  time_base: Fraction
  frames_per_second: float
  codec: str
  num_streams: int

  @classmethod
  def of(cls, path: pathlib.Path, container: Any) -> "_Header":
    """Reads the header; ValueError without a video stream that can be decoded."""
    streams = decoding.video_streams(container, str(path))
    stream = streams[0]
    rate = stream.average_rate or stream.guessed_rate or FRAMES_PER_SECOND
    codec = stream.codec.canonical_name
    return cls(
      container.format.name,
      stream.frames,
      Fraction(stream.time_base.numerator, stream.time_base.denominator),
      float(rate),
      _CODECS.get(codec, codec.upper()),
      len(streams),
    )


def _is_as_listed(survey: Survey, index: PacketIndex) -> bool:
  """Whether the first frames are those that the packets promise.

  Otherwise, only decoding shows which frames there are: a packet may hold a field of an
  interlaced frame, or nothing that is shown.
  """
  if index.is_timed:
    return index.stamps[: len(survey.stamps)] == tuple(survey.stamps)
  return not survey.is_interlaced


def _listed_frames(index: PacketIndex) -> UsableFrames:
  """The frames that the packets promise, where only the first ones were decoded."""
  numbers = tuple(range(len(index.stamps)))
  return UsableFrames(numbers, index.stamps, index.is_timed, decoded=(), damage=())


def _check_damage(
  path: pathlib.Path, usable: UsableFrames, allow_damaged: bool
) -> None:
  """Refuses a damaged video unless that is allowed."""
  if usable.damage and not allow_damaged:
    raise ValueError(
      f"{path}: {'; '.join(usable.damage)}. Copy or export the file again, or give "
      f"--allow-damaged to go on with {len(usable.numbers)} frames."
    )


def _video_file(
  path: pathlib.Path,
  header: _Header,
  index: PacketIndex,
  survey: Survey,
  usable: UsableFrames,
) -> VideoFile:
  bits = images.significant_bits(survey.largest)
  kept = survey.kept
  return VideoFile(
    (path,),
    tuple(f"{number:05d}" for number in usable.numbers),
    survey.sizes[0],
    header.frames_per_second,
    tuple(_warnings(path, header, index, survey, usable, bits)),
    (*survey.orientation.describe(), header.codec),
    usable.stamps,
    usable.is_timed,
    header.time_base,
    index.seek_points if usable.is_timed else (),
    survey.orientation,
    bits,
    bool(usable.damage),
    None if kept is None else tuple(kept[n] for n in usable.decoded),
    lost_first="" if usable.numbers[0] == 0 else f"{0:05d}",
  )


def _warnings(
  path: pathlib.Path,
  header: _Header,
  index: PacketIndex,
  survey: Survey,
  usable: UsableFrames,
  bits: int,
) -> list[str]:
  """What the user must know of a video that is not refused."""
  warnings = [f"{path}: {clause}." for clause in usable.damage]
  if usable.is_timed and not usable.damage:
    warnings += [
      f"{path}: {jump}; the frames that are in the file are numbered without a gap. "
      "If the recording had no pause there, copy or export the file again."
      for jump in time_jumps(usable.stamps, header.time_base)
    ]
  if header.num_streams > 1:
    height, width = survey.sizes[0]
    warnings.append(
      f"{path}: has {header.num_streams} video streams; the first one is used "
      f"({width}x{height})."
    )
  if index.num_before_keyframe:
    warnings.append(
      f"{path}: starts in the middle of a group of pictures; what precedes its first "
      "keyframe cannot be decoded, so that its frame 00000 is that keyframe."
    )
  if survey.is_interlaced:
    warnings.append(
      f"{path}: is interlaced; edges of moving objects are combed. Deinterlaced frames "
      "give better masks."
    )
  if survey.largest and bits < 16:
    warnings.append(deep_warning(str(path), bits))
  return warnings


def _unreadable(path: pathlib.Path, error: "av.FFmpegError") -> ValueError:
  if containers.has_no_index(path):
    return ValueError(
      f"{path}: has no index of its frames (moov), because the recording was cut off "
      "before its end. `untrunc` can restore it with the help of another video of the "
      "same camera."
    )
  return ValueError(f"{path}: cannot be read as a video ({error.strerror}).")
