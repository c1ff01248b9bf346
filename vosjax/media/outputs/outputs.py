"""Writes all kinds of results of a segmented video, each in threads of its own.

Files of single frames appear one by one. Everything else is kept in a hidden folder,
in parts that are complete at every `checkpoint`, until the last frame.
"""

import contextlib
import functools
import json
import operator
import pathlib
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import UInt8

from vosjax import files
from vosjax.media.outputs import images, videos
from vosjax.media.outputs.archive import YoutubeVos
from vosjax.media.outputs.frame import SegmentedFrame, naming_frame
from vosjax.media.outputs.output import Output
from vosjax.media.outputs.records import Coco, Results, Times, load_pycocotools
from vosjax.media.outputs.report import Report
from vosjax.media.outputs.video_parts import Timing, VideoParts
from vosjax.media.outputs.videos import DrawnVideo
from vosjax.media.pipeline import Background, num_workers
from vosjax.media.pyav import load_pyav
from vosjax.media.write import H264, Codec, require_codec

# Kind -> what it writes, for `--help`
KINDS = {
  "masks": "NAME.png: object ids as a palette PNG for each frame",
  "overlay": "overlay.mp4: objects tinted and outlined",
  "alpha": "alpha/NAME.png and alpha.webm (VP9): frames with soft transparency",
  "alpha-prores": "alpha.mov: the same as ProRes 4444",
  "green": "green.mp4: objects before a green screen",
  "objects": "objects/ID/NAME.png: one black and white PNG per object",
  "coco": "coco.json: run-length masks with scores and track ids",
  "youtube-vos": "youtube-vos.zip: Annotations/VIDEO/FRAME.png, as its server asks",
  "probs": "probs/ID/NAME.png: probabilities in 16 bits",
  "results": "results.json: time, objects, scores and areas of each frame",
  "report": "report.html: scores over time, and the frames to look at",
}
PARTS = ".parts"
_PROGRESS = "progress.json"
_AHEAD = 4  # frames that wait for each thread

_FILES_OF_FRAMES: dict[str, Callable[[pathlib.Path, SegmentedFrame], None]] = {
  "masks": images.write_mask,
  "objects": images.write_objects,
  "alpha": images.write_alpha,
  "probs": images.write_probs,
}
_VIDEOS: dict[str, tuple[str, Callable[[SegmentedFrame], Any], Codec]] = {
  "overlay": ("overlay.mp4", videos.draw_overlay, H264),
  "alpha": ("alpha.webm", videos.draw_alpha, videos.VP9_ALPHA),
  "alpha-prores": ("alpha.mov", videos.draw_alpha, videos.PRORES_4444),
  "green": ("green.mp4", videos.draw_green, H264),
}
_FINAL_FILES = {
  "coco": "coco.json",
  "youtube-vos": "youtube-vos.zip",
  "results": "results.json",
  "report": "report.html",
}


class Outputs:
  """All results of one video; `open_outputs` makes it."""

  def __init__(
    self,
    parts: pathlib.Path,
    stack: contextlib.ExitStack,
    frames_per_second: float,
  ):
    self._parts, self._stack, self._rate = parts, stack, frames_per_second
    self._next = 0  # frame that `write` expects
    self._dealt = 0  # frames that were given to all outputs
    self._checkpoints: list[int] = []
    self._in_order: list[tuple[Output, Background]] = []
    self._of_frames: list[Callable[[SegmentedFrame], None]] = []
    workers = num_workers()
    self._pool = stack.enter_context(
      Background("write", ahead=2 * workers + _AHEAD, workers=workers)
    )
    # In a thread, which Ctrl-C does not reach: all outputs get a frame, or none does.
    self._dealer = Background("deal", ahead=1)

  @property
  def num_frames(self) -> int:
    """Number of frames that were written, those of an earlier job included."""
    return self._next

  def write(
    self,
    index: int,
    name: str,
    image: UInt8[np.ndarray, "h w 3"],
    labels: Any,
    object_ids: Sequence[int] = (),
    probs: Any = None,
    scores: Any = None,
    lost: Any = None,
    time: float | None = None,
  ) -> None:
    """Writes a frame, soon. Frames come in their order.

    Args:
      index: number of the frame.
      name: of the frame, without suffix; files are named after it.
      image: RGB.
      labels: object ids [h w], or a function that returns them; see `SegmentedFrame`.
      object_ids: objects that are tracked, or were found.
      probs: probability of each object [o h w], or a function that returns them.
      scores: how sure each object is, from 0 to 1 [o], or a function.
      lost: which objects are probably lost [o], or a function.
      time: when it is shown, in seconds, which videos and tables keep; None means a
        constant rate.

    Raises:
      OSError: a file of this or an earlier frame cannot be written.
      Exception: any other error of this or an earlier frame, whose name its message
        contains.
    """
    if index != self._next:
      raise ValueError(f"write(): frame {index} came, frame {self._next} is next.")
    time = index / self._rate if time is None else float(time)
    ids = tuple(object_ids)
    frame = SegmentedFrame(index, name, time, image, labels, ids, probs, scores, lost)
    self._dealer.submit(self._deal, frame)
    self._next += 1

  def checkpoint(self) -> None:
    """Completes all that was written so far: a job can go on from here.

    Save the state of the network after this call, not before.

    Raises:
      OSError: a file cannot be written.
    """
    self._wait()
    self._call_all(operator.methodcaller("checkpoint"))
    if self._next not in self._checkpoints:
      self._checkpoints.append(self._next)
    files.write_json(self._parts / _PROGRESS, {"checkpoints": self._checkpoints})

  def add_files(self, write: Callable[[SegmentedFrame], None]) -> None:
    """Adds an output whose frames are independent of each other."""
    self._of_frames.append(write)

  def add(self, output: Output) -> None:
    """Adds an output that gets the frames in order, in a thread of its own."""
    self._stack.enter_context(output)
    thread = Background(type(output).__name__, ahead=_AHEAD)
    self._stack.enter_context(thread)
    self._in_order.append((output, thread))

  def resume(self, frame: int, known: Sequence[int]) -> None:
    """Makes `frame` the next one, after checkpoints that are `known`."""
    self._next = self._dealt = frame
    self._checkpoints = [count for count in known if count <= frame]

  def finish(self) -> None:
    """Makes the files that need all frames."""
    self.checkpoint()
    self._call_all(operator.methodcaller("finish"))

  def start(self) -> None:
    """Gets ready for frames, after all outputs were added."""
    self._stack.enter_context(self._dealer)

  def _deal(self, frame: SegmentedFrame) -> None:
    """Gives a frame to all outputs."""
    for output, thread in self._in_order:
      thread.submit(_write, output.write, frame)
    for write in self._of_frames:
      self._pool.submit(_write, write, frame)
    self._dealt = frame.index + 1

  def _wait(self) -> None:
    self._dealer.wait()
    self._next = self._dealt  # Ctrl-C may have kept `write` from counting
    self._pool.wait()
    for _, thread in self._in_order:
      thread.wait()

  def _call_all(self, call: Callable[[Output], None]) -> None:
    """Calls a method of each output in its thread, where Ctrl-C does not end it."""
    for output, thread in self._in_order:
      thread.submit(call, output)
    for _, thread in self._in_order:
      thread.wait()


def _write(write: Callable[[SegmentedFrame], None], frame: SegmentedFrame) -> None:
  with naming_frame(frame.name):
    write(frame)


@contextlib.contextmanager
def open_outputs(
  kinds: Collection[str],
  folder: pathlib.Path,
  *,
  video_name: str,
  size: tuple[int, int],
  frames_per_second: float,
  prompts: Mapping[int, Collection[int]] | None = None,
  names: Mapping[int, str] | None = None,
  suffix: str = ".png",
  resume_from: int = 0,
) -> Iterator[Outputs]:
  """Yields what writes the results of a video, all kinds at once.

  Every file is complete or absent. If the block fails (a full disk, Ctrl-C), files of
  single frames and all that is before the last `checkpoint` stay in the folder, and a
  later call goes on from there.

  Args:
    kinds: of results, from `KINDS`.
    folder: for the results; it exists.
    video_name: name of the video in files that have one.
    size: (height, width) of the frames.
    frames_per_second: the speed at which videos play where frames have no times.
    prompts: ids of the objects in the mask of each given frame, by its number, for the
      report.
    names: of objects that have one, by id; they are the categories of coco.json, where
      all others are of the category "object".
    suffix: of the frames' image files, whose names coco.json contains; where there are
      none, of the masks.
    resume_from: number of the frame to go on with, one of `checkpoints(folder)`; what
      was written of this and later frames is dropped. 0 begins anew.

  Raises:
    OSError: a file cannot be written.
    ValueError: a kind is unknown or needs a library, or there is no checkpoint to
      resume from.
  """
  check_kinds(kinds)
  known = checkpoints(folder)
  if resume_from and resume_from not in known:
    raise ValueError(
      f"{folder}: cannot go on at frame {resume_from}; checkpoints are at {known}. "
      "Start the job again in a new folder."
    )
  parts = folder / PARTS
  if not resume_from:
    shutil.rmtree(parts, ignore_errors=True)
  parts.mkdir(exist_ok=True)
  for draft in folder.rglob(".*.part*"):  # left by a job that was killed
    draft.unlink()
  with contextlib.ExitStack() as stack:
    outputs = Outputs(parts, stack, frames_per_second)
    outputs.resume(resume_from, known)
    _add_outputs(
      outputs,
      kinds,
      folder,
      video_name=video_name,
      size=size,
      frames_per_second=frames_per_second,
      prompts=prompts or {},
      names=names or {},
      suffix=suffix,
      start=resume_from,
    )
    outputs.start()
    yield outputs
    outputs.finish()
  # First what says that a job can go on from here, for which all parts are needed.
  (parts / _PROGRESS).unlink()
  shutil.rmtree(parts)


def check_kinds(kinds: Collection[str]) -> None:
  """Refuses kinds of results that cannot be written, before any work.

  Raises:
    ValueError: a kind is unknown, or needs a library that is not installed or was built
      without what it takes.
  """
  for kind in kinds:
    if kind not in KINDS:
      raise ValueError(f"output {kind!r} is unknown; known: {', '.join(KINDS)}.")
    if kind in _VIDEOS:
      name, _, codec = _VIDEOS[kind]
      load_pyav(f"{name}: videos")
      require_codec(codec)
    elif kind == "coco":
      load_pycocotools()


def checkpoints(folder: pathlib.Path) -> tuple[int, ...]:
  """Frames from which a job in this folder can go on, ascending.

  Empty if it is new, or if the record of its progress is damaged.
  """
  try:
    frames = json.loads((folder / PARTS / _PROGRESS).read_bytes())["checkpoints"]
  except (OSError, ValueError, KeyError, TypeError):
    return ()
  if not isinstance(frames, list) or not all(type(frame) is int for frame in frames):
    return ()
  return tuple(frames)


def final_files(kinds: Collection[str]) -> tuple[str, ...]:
  """Names of the files that appear after the last frame, in the order of `KINDS`."""
  names = [
    _VIDEOS[kind][0] if kind in _VIDEOS else _FINAL_FILES.get(kind)
    for kind in KINDS
    if kind in kinds
  ]
  return tuple(name for name in names if name)


def _add_outputs(
  outputs: Outputs,
  kinds: Collection[str],
  folder: pathlib.Path,
  *,
  video_name: str,
  size: tuple[int, int],
  frames_per_second: float,
  prompts: Mapping[int, Collection[int]],
  names: Mapping[int, str],
  suffix: str,
  start: int,
) -> None:
  """Adds an output of each kind."""
  parts = folder / PARTS
  if not _VIDEOS.keys().isdisjoint(kinds):
    times = Times(parts, start)
    outputs.add(times)

  def timing() -> Timing:
    return Timing.from_times(times.read(), frames_per_second)

  for kind in KINDS:
    if kind not in kinds:
      continue
    if kind in _FILES_OF_FRAMES:
      outputs.add_files(functools.partial(_FILES_OF_FRAMES[kind], folder))
    if kind in _VIDEOS:
      name, draw, codec = _VIDEOS[kind]
      video = VideoParts(folder / name, parts, size, frames_per_second, codec, start)
      outputs.add(DrawnVideo(video, draw, timing))
    elif kind == "coco":
      outputs.add(Coco(folder, parts, start, video_name, size, names, suffix))
    elif kind == "youtube-vos":
      outputs.add(YoutubeVos(folder, parts, video_name))
    elif kind == "results":
      outputs.add(Results(folder, parts, start, video_name))
    elif kind == "report":
      outputs.add(Report(folder, parts, start, video_name, prompts))
