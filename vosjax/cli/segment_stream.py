"""`vosjax segment` on a stream: frames without a known end, in constant memory."""

import argparse
import pathlib
from collections.abc import Callable, Iterator

import numpy as np
from jaxtyping import UInt8
from tqdm import tqdm

from vosjax import files
from vosjax.cli.segment_inputs import warn
from vosjax.cli.segment_size import Written
from vosjax.cli.segment_video import CHECKPOINT_EVERY, write_result
from vosjax.inference.engine import VideoSegmenter
from vosjax.inference.frame_result import FrameResult
from vosjax.labels import find_ids
from vosjax.media import outputs
from vosjax.media.masks import read_masks
from vosjax.media.stream import FrameStream, open_stream

_FILE_FRAMES = ("--start", "--end", "--every", "--direction", "--max-size")


def run(
  args: argparse.Namespace,
  kinds: tuple[str, ...],
  load: Callable[..., VideoSegmenter],
) -> None:
  """Segments a stream until it ends, or until Ctrl-C, and completes all results.

  Args:
    args: of the command.
    kinds: of results.
    load: loads the segmenter.

  Raises:
    ValueError: an argument does not apply to streams, or an input is unusable.
    OSError: a file cannot be written.
  """
  _check_arguments(args)
  with files.claimed(args.out, f"--out {args.out}"):
    _run(args, kinds, load)


def _run(
  args: argparse.Namespace,
  kinds: tuple[str, ...],
  load: Callable[..., VideoSegmenter],
) -> None:
  segmenter = load(has_mask=bool(args.mask))
  with open_stream(args.video) as stream:
    height, width = stream.size
    rate = f"{stream.frames_per_second:.4g} frames/s"
    print(f"{stream.name}: frames of {width}x{height}, {rate}; Ctrl-C ends the stream.")
    warn(stream.warnings)
    labels = None
    if args.mask:
      masks = read_masks(args.mask, [_name(0)], stream.size, colors=args.colors)
      print(masks.describe())
      warn(f"{line}." for line in masks.warnings)
      labels = masks.labels(0)
    number = _segment(stream, labels, segmenter, args.out, kinds)
  if stream.problem:
    warn([stream.problem])
  if stream.num_lost:
    warn([f"{stream.name}: {stream.num_lost} packets could not be decoded."])
  print(f"{args.out}: {number} masks{_listed(kinds)}.")


def _segment(
  stream: FrameStream,
  labels: UInt8[np.ndarray, "h w"] | None,
  segmenter: VideoSegmenter,
  out: pathlib.Path,
  kinds: tuple[str, ...],
) -> int:
  """Segments and writes all frames.

  Returns:
    The number of frames.
  """
  with (
    outputs.open_outputs(
      kinds,
      out,
      video_name=pathlib.Path(stream.name).stem,
      size=stream.size,
      frames_per_second=stream.frames_per_second,
      prompts=None if labels is None else {0: find_ids(labels)},
    ) as written,
    tqdm(unit="frame", desc="segment", disable=None) as bar,
  ):
    try:
      results = _results(stream, labels, segmenter)
      for number, (seconds, result) in enumerate(results):
        restored = Written.of(result)
        write_result(written, number, _name(number), seconds, restored, result)
        bar.update()
        if (number + 1) % CHECKPOINT_EVERY == 0:
          written.checkpoint()
    except KeyboardInterrupt:
      bar.write("stopped: completing the results of what was segmented.")
  return written.num_frames


def _results(
  stream: FrameStream,
  labels: UInt8[np.ndarray, "h w"] | None,
  segmenter: VideoSegmenter,
) -> Iterator[tuple[float, FrameResult]]:
  """Yields the seconds of each frame with its result."""
  session = segmenter.new_session()
  for number, (seconds, frame) in enumerate(stream):
    yield seconds, session.step(frame) if number else session.start(frame, labels)


def _check_arguments(args: argparse.Namespace) -> None:
  """Refuses what a stream cannot have."""
  for option in _FILE_FRAMES:
    if getattr(args, option[2:].replace("-", "_")) is not None:
      raise ValueError(
        f"{option} needs a video file or a folder, but {args.video} is a stream. Leave "
        "it out."
      )
  if args.masks is not None:
    raise ValueError("--masks is for many videos; give the mask of a stream by --mask.")
  if args.crf:
    raise ValueError("--crf does not apply to streams. Leave it out.")
  if args.out.exists() and any(args.out.iterdir()):
    raise ValueError(
      f"--out {args.out}: is not empty, and a stream cannot be resumed. Choose a new "
      "folder."
    )


def _name(number: int) -> str:
  return f"{number:05d}"  # as frames of files


def _listed(kinds: tuple[str, ...]) -> str:
  return "".join(f", {name}" for name in outputs.final_files(kinds))
