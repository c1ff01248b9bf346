"""Segments one video, from what was read of it to the files of its results."""

import contextlib
import dataclasses
import functools
import pathlib
import time
from typing import Any

import numpy as np
from jaxtyping import UInt8
from tqdm import tqdm

from vosjax.benchmarks.model import peak_memory
from vosjax.cli import segment_job
from vosjax.cli.segment_inputs import Inputs, warn
from vosjax.cli.segment_size import FullSize, Written, for_network
from vosjax.inference import prompts, refinement
from vosjax.inference.compilation import COMPILING_CALLS
from vosjax.inference.engine import VideoSegmenter
from vosjax.inference.frame_result import FrameResult
from vosjax.inference.session import Session
from vosjax.inference.whole_video import choose_batch_size
from vosjax.media import outputs
from vosjax.media.pipeline import ReadAhead
from vosjax.train import interrupt

DEFAULT_KINDS = ("masks", "overlay", "results", "report")
CHECKPOINT_EVERY = 200  # frames
_AHEAD = 8  # frames that are decoded before their turn
_ESTIMATED_FROM = 30 * 480 * 854  # pixels of all frames; fewer take less than a minute
_TRIED = 6  # frames, of which the last ones are timed
_LONG = 60.0  # seconds


def choose_kinds(text: str | None) -> tuple[str, ...]:
  """The kinds of results that `--save` asks for; masks are always among them.

  Without PyAV or its encoder, the default has no video, which is said.

  Raises:
    ValueError: a kind is unknown or needs a library that is not installed.
  """
  if text is None:
    try:
      outputs.check_kinds(DEFAULT_KINDS)
    except ValueError as error:
      warn([f"{error} The other results are written."])
      return tuple(kind for kind in DEFAULT_KINDS if kind != "overlay")
    return DEFAULT_KINDS
  wanted = {kind.strip() for kind in text.split(",") if kind.strip()} | {"masks"}
  outputs.check_kinds(wanted)
  return tuple(kind for kind in outputs.KINDS if kind in wanted)


class _Interruptible:
  """Frames that cannot be read once a signal has come.

  A job that follows objects backward computes much before its first result, and keeps
  no state: it ends at once.
  """

  def __init__(self, frames: Any, stop: interrupt.Interrupt):
    self._frames, self._stop = frames, stop

  def __len__(self) -> int:
    return len(self._frames)

  def __getitem__(self, index: int) -> UInt8[np.ndarray, "h w 3"]:
    if self._stop.signum is not None:
      raise KeyboardInterrupt
    return self._frames[index]


def segment_video(
  inputs: Inputs,
  segmenter: VideoSegmenter,
  job: segment_job.Job,
  out: pathlib.Path,
  *,
  direction: prompts.Direction | None,
  max_size: int | None,
  crf: bool,
  stop: interrupt.Interrupt | None = None,
) -> None:
  """Segments a video and writes all results, with a progress bar.

  In the forward direction, the state of the network is kept every few hundred frames
  and on Ctrl-C, so that a job that was stopped goes on from there.

  Args:
    inputs: the video and its masks.
    segmenter: of the model.
    job: what the folder holds.
    out: folder for the results.
    direction: in which objects are followed; None chooses.
    max_size: of the frames' longer side for the network; None keeps the size.
    crf: refine masks by a dense CRF.
    stop: records Ctrl-C and SIGTERM; by default they are recorded here, which only the
      main thread can do.

  Raises:
    ValueError: a frame or a mask is unusable.
    OSError: a file cannot be read or written.
    KeyboardInterrupt: on Ctrl-C or SIGTERM, when the state was saved or all is done.
  """
  video = inputs.video
  source = for_network(video, inputs.masks, max_size)
  start = job.begin(out)
  chosen = None
  if inputs.masks is not None:
    chosen = prompts.choose_direction(direction, inputs.masks)
  height, width = source.size
  if start == 0 and len(video) * height * width >= _ESTIMATED_FROM:
    _print_estimate(source, segmenter, passes=2 if chosen == "both" else 1)
  session = None
  if chosen in (None, "forward"):
    session = segmenter.new_session()
    if start:
      session = segmenter.load_session(segment_job.state_file(out, start))
  given = {plan.frame: (*plan.added, *plan.corrected) for plan in inputs.planned}
  first, times = min(given, default=0), video.times
  batch = choose_batch_size(len(video))
  with (
    interrupt.Interrupt() if stop is None else contextlib.nullcontext(stop) as stop,
    ReadAhead(source.frames, _AHEAD) as frames,
    outputs.open_outputs(
      job.kinds,
      out,
      video_name=video.stem,
      size=video.size,
      frames_per_second=video.frames_per_second,
      prompts=given,
      suffix=video.frame_suffix or ".png",
      resume_from=start,
    ) as written,
    tqdm(
      total=len(video), initial=start, unit="frame", desc="segment", disable=None
    ) as bar,
  ):
    results = segmenter.run(
      frames if session is not None else _Interruptible(frames, stop),
      prompts=source.masks,
      direction=direction,
      session=session,
    )
    for number, result in enumerate(results, start):
      restored = source.restore(number, result)
      if crf:
        refined = functools.partial(refinement.refine_labels, result)
        restored = dataclasses.replace(restored, labels=refined)
      name = video.frame_names[number]
      write_result(written, number, name, times[number], restored, result)
      bar.update()
      if stop.signum is None and (number + 1 - first) % CHECKPOINT_EVERY:
        continue
      # Whole batches from the first object on, so that a job that goes on gives the
      # same results to the last bit.
      if (
        session is not None
        and (number + 1 - first) % batch == 0
        and number + 1 < len(video)
      ):
        _save_state(written, session, out, number + 1)
        if stop.signum is not None:
          bar.write(f"stopped before frame {number + 1}: the same command goes on.")
          raise KeyboardInterrupt
  job.finish(out)
  if stop.signum is not None:  # too late for this video, not for those that follow
    print(f"stopped: {out} is complete.")
    raise KeyboardInterrupt


def write_result(
  written: outputs.Outputs,
  number: int,
  name: str,
  seconds: float,
  restored: Written,
  result: FrameResult,
) -> None:
  """Writes the result of a frame, soon.

  Args:
    written: what writes it.
    number: of the frame.
    name: of the frame.
    seconds: at which it is shown.
    restored: its image, labels and probabilities at the size of the video.
    result: of the network.
  """
  written.write(
    number,
    name,
    restored.image,
    restored.labels,
    result.object_ids,
    restored.probs,
    functools.partial(getattr, result, "scores"),
    functools.partial(getattr, result, "lost"),
    seconds,
  )


def _save_state(
  written: outputs.Outputs, session: Session, out: pathlib.Path, number: int
) -> None:
  """Saves all that is needed to go on with frame `number`."""
  if session.frame is None:
    return  # before the first object
  written.checkpoint()
  session.save(segment_job.state_file(out, number))
  segment_job.forget_states(out, number)


def _print_estimate(source: FullSize, segmenter: VideoSegmenter, passes: int) -> None:
  """Says how long the job will take and how much memory, if it is long.

  Segments the first given frame several times, which compiles what the job needs.

  Args:
    source: the video and its masks, as the network gets them.
    segmenter: of the model.
    passes: how often each frame is segmented.
  """
  first = 0 if source.masks is None else min(source.masks)
  frame = source.frames[first]
  given = None if source.masks is None else {0: source.masks[first]}
  ends = []
  for result in segmenter.run([frame] * _TRIED, prompts=given):
    np.asarray(result.labels)
    ends.append(time.perf_counter())
  timed = ends[COMPILING_CALLS:]  # the first frame is not a step
  seconds = (timed[-1] - timed[0]) / (len(timed) - 1)
  total = seconds * len(source.frames) * passes
  if total < _LONG:
    return
  print(
    f"about {_duration(total)}: {len(source.frames):,} frames"
    f"{' in both directions' if passes == 2 else ''} at {1 / seconds:.1f} frames/s; "
    f"{peak_memory() / 2**30:.1f} GiB of memory"
  )


def _duration(seconds: float) -> str:
  minutes = round(seconds / 60)
  return f"{minutes} min" if minutes < 120 else f"{minutes / 60:.1f} h"
