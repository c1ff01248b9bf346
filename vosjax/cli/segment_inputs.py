"""Reads the inputs of `vosjax segment` and says what was understood."""

import argparse
import collections
import dataclasses
import pathlib
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
from jaxtyping import UInt8
from tqdm import tqdm

from vosjax.inference import primary, prompts
from vosjax.inference.engine import VideoSegmenter
from vosjax.labels import VOID, find_ids
from vosjax.media.masks import VideoMasks, read_masks
from vosjax.media.read import read_video
from vosjax.media.video_frames import (
  VideoFrames,
  describe,
  frame_number,
  frames_or_seconds,
)
from vosjax.train.interrupt import Interrupt


@dataclasses.dataclass(frozen=True)
class Inputs:
  """One video, and what is known of its objects.

  Attributes:
    video: the frames to segment.
    masks: the masks of some of them, by number; None where none are given or found.
    planned: what each mask does.
  """

  video: VideoFrames
  masks: Mapping[int, UInt8[np.ndarray, "h w"]] | None = None
  planned: tuple[prompts.PlannedPrompt, ...] = ()


class MaskPrompts(Mapping[int, UInt8[np.ndarray, "h w"]]):
  """The labels of frames with a mask that shows an object, read when they are needed.

  Args:
    masks: of the whole video.
    indices: numbers of the frames to segment, in the whole video.
  """

  def __init__(self, masks: VideoMasks, indices: range):
    self._masks, self._indices = masks, indices
    given = set(masks.frames)
    self._given = {  # in order
      number: None
      for number, index in enumerate(indices)
      if index in given and _shows_object(masks, index)
    }

  def __getitem__(self, number: int) -> UInt8[np.ndarray, "h w"]:
    labels = (
      self._masks.labels(self._indices[number]) if number in self._given else None
    )
    if labels is None:
      raise KeyError(number)
    return labels

  def __iter__(self) -> Iterator[int]:
    return iter(self._given)

  def __len__(self) -> int:
    return len(self._given)


def open_video(args: argparse.Namespace, path: pathlib.Path) -> VideoFrames:
  """The frames to segment, which are not looked at yet.

  Args:
    args: of the command.
    path: of the video.

  Raises:
    ValueError: the video cannot be opened, or an option does not fit it.
  """
  return _choose_part(args, _read(args, path, check=False))[0]


def _read(args: argparse.Namespace, path: pathlib.Path, *, check: bool) -> VideoFrames:
  return read_video(
    path, allow_gaps=args.allow_gaps, allow_damaged=args.allow_damaged, check=check
  )


def _choose_part(
  args: argparse.Namespace, whole: VideoFrames
) -> tuple[VideoFrames, range]:
  """The frames to segment, and their numbers in the whole video."""
  indices = _choose_frames(args, whole)
  if indices == range(len(whole)):
    return whole, indices
  return whole[indices.start : indices.stop : indices.step], indices


def read_inputs(
  args: argparse.Namespace,
  path: pathlib.Path,
  masks: Sequence[pathlib.Path],
) -> Inputs:
  """Reads a video and its masks, and prints what was understood.

  Args:
    args: of the command.
    path: of the video.
    masks: files or folders of masks; empty where none are given.

  Raises:
    ValueError: something is unusable; names it.
  """
  whole = _read(args, path, check=True)
  video, indices = _choose_part(args, whole)
  print(describe(video))
  warn(video.warnings)
  if not masks:
    return Inputs(video)
  found = read_masks(
    masks,
    whole.frame_names,
    whole.size,
    colors=args.colors,
    lost_first=whole.lost_first,
    numbered=len(whole.files) < len(whole),
  )
  given = MaskPrompts(found, indices)
  print(found.describe())
  warn(f"{line}." for line in found.warnings)
  unused = sorted(set(found.frames) - set(indices))
  if len(unused) == len(found.frames):
    raise ValueError(
      f"{found.name}: belongs to frame {whole.frame_names[unused[0]]}, which is left "
      "out. Change --start, --end or --every, or give a mask of a frame that remains."
    )
  if not given:
    raise ValueError(
      f"{found.name}: no mask shows an object, only background (0) and void (255). "
      "Give each object an id from 1 to 254."
    )
  if unused:
    warn([_describe_unused(found, unused, given)])
  planned = prompts.plan(given, args.direction)
  _print_plan(planned, video)
  return Inputs(video, given, planned)


def find_object(
  inputs: Inputs,
  finder: VideoSegmenter,
  follower: VideoSegmenter,
  stop: Interrupt | None = None,
) -> tuple[int, UInt8[np.ndarray, "h w"]]:
  """Finds the primary object of a video, and prints where.

  Args:
    inputs: a video without masks.
    finder: of a zero-shot model.
    follower: of the model that will follow the object.
    stop: records Ctrl-C and SIGTERM, where they do not raise an exception.

  Returns:
    The number of a frame, and its labels.

  Raises:
    ValueError: no frame shows an object, or a frame is unusable.
    KeyboardInterrupt: `stop` has recorded a signal.
  """
  video = inputs.video
  with tqdm(unit="frame", desc="find", disable=None, leave=False) as bar:

    def progress() -> None:
      bar.update()
      if stop is not None and stop.signum is not None:
        raise KeyboardInterrupt

    found = primary.find_primary(video, finder, follower, progress=progress)
  if found is None:
    raise ValueError(
      f"{video.name}: no object was found in {len(video):,} frames. --mask FIRST.png "
      "follows the objects that you mean."
    )
  number, labels = found
  share = 100 * (labels > 0).mean()
  print(f"found: object 1 in frame {video.frame_names[number]} ({share:.1f} % of it).")
  return number, labels.astype(np.uint8)


def with_found(
  inputs: Inputs,
  found: tuple[int, UInt8[np.ndarray, "h w"]],
  direction: prompts.Direction,
) -> Inputs:
  """A video with the mask that `find_object` found, to be followed in a direction."""
  masks = dict([found])
  planned = prompts.plan(masks, direction)
  return dataclasses.replace(inputs, masks=masks, planned=planned)


def warn(lines: Iterable[str]) -> None:
  """Prints lines that a user must know of on standard error."""
  for line in lines:
    print(f"warning: {line}", file=sys.stderr)


def _describe_unused(
  masks: VideoMasks, unused: Sequence[int], given: MaskPrompts
) -> str:
  """Says which masks are not used, and which objects are thereby not segmented."""
  lost: set[int] = set()
  for index in unused:
    labels = masks.labels(index)
    lost |= set() if labels is None else set(find_ids(labels))
  for labels in given.values():
    lost -= set(find_ids(labels))
  names = ", ".join(masks.file_name(index) for index in unused[:3])
  more = f" and {len(unused) - 3} more" if len(unused) > 3 else ""
  text = f"{names}{more}: not used, because these frames are left out"
  if lost:
    text += f"; {_ids(tuple(sorted(lost)))} will not be segmented"
  return f"{text}."


def _shows_object(masks: VideoMasks, index: int) -> bool:
  ids = masks.counts.get(index)
  if ids is None:  # not read yet
    labels = masks.labels(index)
    return labels is not None and bool(find_ids(labels))
  return not set(ids) <= {0, VOID}


def _choose_frames(args: argparse.Namespace, video: VideoFrames) -> range:
  """Numbers of the frames that --start, --end and --every choose."""
  start = 0 if args.start is None else _number("--start", args.start, video)
  end = len(video)
  if args.end is not None:
    end = _number("--end", args.end, video, end=True)
  if start >= end:
    raise ValueError(
      f"--start {args.start or 0} --end {args.end or len(video)}: no frame lies "
      f"between; {video.name} has frames 0 to {len(video) - 1}."
    )
  step = 1
  if args.every is not None:
    step = _interval(args.every, video)
  return range(start, end, step)


def _interval(text: str, video: VideoFrames) -> int:
  """Number of frames from one to the next that --every chooses."""
  try:
    value = frames_or_seconds(text)
  except ValueError:
    value = 0
  step = value if isinstance(value, int) else round(value * video.frames_per_second)
  if step < 1:
    raise ValueError(
      f"--every {text}: expected a number of frames (5) or a time (0.5s, 1:02.5), at "
      "least one frame."
    )
  return step


def _number(option: str, text: str, video: VideoFrames, *, end: bool = False) -> int:
  try:
    return frame_number(text, video, end=end)
  except ValueError as error:
    raise ValueError(f"{option}: {error}") from None


def _print_plan(planned: tuple[prompts.PlannedPrompt, ...], video: VideoFrames) -> None:
  """Says which frames add objects and which correct them, if it is not obvious."""
  if len(planned) == 1 and planned[0].frame == 0:
    return
  sentences = collections.defaultdict(list)
  for prompt in planned:
    name = video.frame_names[prompt.frame]
    if prompt.added:
      sentences[f"add {_ids(prompt.added)}"].append(name)
    if prompt.corrected:
      sentences[f"correct {_ids(prompt.corrected)}"].append(name)
  for what, names in sentences.items():
    shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
    print(f"masks of {shown} {what}.")


def _ids(ids: tuple[int, ...]) -> str:
  word = "object" if len(ids) == 1 else "objects"
  return f"{word} {', '.join(map(str, ids))}"
