"""`vosjax segment`: objects through a video of one's own."""

import argparse
import json
import pathlib
from typing import Any

import numpy as np
from tqdm import tqdm

from vosjax import checkpoints, models, viz
from vosjax.inference import export, video_files
from vosjax.inference.engine import VideoSegmenter

EXAMPLE = """
example:
  vosjax segment holiday.mp4 --mask first.png --checkpoint runs/agame/model --out result

The mask is a palette or grey PNG of the frames' size whose pixel values are object
ids: 0 = background, 1 to 254 = objects, 255 = void. A folder of masks, named after
frames, lets objects appear later: an object is followed from its first mask on.

DIR receives a palette PNG for each frame, named after it, and overlay.mp4. A job that
was stopped goes on with the same command. All frames are computed again, because a
model remembers what it saw, but masks that are there are kept.
"""

NO_CHECKPOINT = (
    "--checkpoint is missing: {model} needs trained weights. Either train the embedded "
    "default (`python -m vosjax.main --config=configs/{model}.py --workdir=DIR`) and "
    "give --checkpoint DIR/model, or convert the official weights (`vosjax convert "
    "{model} FILE.pth --out DIR`) and give --checkpoint DIR."
)
NO_MASK = (
    "--mask is missing: {model} follows the objects that a mask of the first frame "
    "shows. Give --mask FIRST.png, or a folder of masks named after frames."
)

DEFAULT_MODEL = "agame"
ZERO_SHOT = ("cosnet", "ris", "rsis", "rvos")  # may run without a mask
JOB_FILE = "segment.json"
OVERLAY = "overlay.mp4"


def configure(parser: argparse.ArgumentParser) -> None:
  """Adds the arguments of `vosjax segment`."""
  parser.epilog = EXAMPLE
  path = pathlib.Path
  parser.add_argument(
      "video", type=path, metavar="VIDEO_OR_FOLDER",
      help="a video file, or a folder of frames, ordered by name")  # fmt: skip
  parser.add_argument(
      "--out", type=path, required=True, metavar="DIR",
      help="folder to make; one that holds this very job is continued")  # fmt: skip
  parser.add_argument(
      "--mask", type=path, metavar="FIRST.png",
      help="objects of the first frame, or a folder of masks")  # fmt: skip
  parser.add_argument(
      "--model", metavar="NAME",
      help=f"{', '.join(sorted(models.MODELS))}: refuse a checkpoint of another "
      "model (default: take what the checkpoint holds)")  # fmt: skip
  parser.add_argument(
      "--checkpoint", type=path, metavar="DIR",
      help="what training left in WORKDIR/model, or `vosjax convert` in its --out",
  )


def run(args: argparse.Namespace) -> None:
  """Segments a video; everything that can be wrong is checked before it starts.

  Raises:
    ValueError: an argument or an input file is not usable, in one line.
    OSError: something cannot be read or written.
  """
  if args.model is not None and args.model not in models.MODELS:
    known = sorted(models.MODELS)
    raise ValueError(f"--model {args.model} is unknown; known: {known}.")
  if args.checkpoint is None:
    raise ValueError(NO_CHECKPOINT.format(model=args.model or DEFAULT_MODEL))
  video = video_files.open_video(args.video)
  masks = {}
  start, labels = 0, None
  if args.mask is not None:
    masks = video_files.open_masks(args.mask, video)
    start, labels = video_files.read_first_labels(masks, video)
  job = _describe(args, video)
  if _is_finished(args.out, job):
    print(f"{args.out}: finished before, nothing to do ({len(video)} frames).")
    return
  segmenter, name = load_segmenter(args.checkpoint, args.model)
  if labels is None and name not in ZERO_SHOT:
    raise ValueError(NO_MASK.format(model=name))
  _claim(args.out, job)
  count = _segment(segmenter, video, masks, (start, labels), args.out)
  print(f"{args.out}: {count} masks and {OVERLAY}.")


def load_segmenter(
    checkpoint: pathlib.Path, expected: str | None
) -> tuple[VideoSegmenter, str]:
  """A segmenter from a checkpoint, and the name of its model.

  Raises:
    ValueError: there is no such checkpoint, or it is of another model than the
      expected one.
  """
  model, variables = checkpoints.load(checkpoint)
  names = [name for name, kind in models.MODELS.items() if type(model) is kind]
  name = names[0] if names else type(model).__name__
  if not names or expected not in (None, name):
    raise ValueError(
        f"{checkpoint}: is a checkpoint of {name}, not of {expected or DEFAULT_MODEL}. "
        "Give another --checkpoint" + (", or leave --model out." if names else ".")
    )
  return VideoSegmenter(model, variables), name


def _segment(segmenter, video, masks, first, out) -> int:
  """Writes masks and overlay; returns the number of frames."""
  start, first_labels = first
  count = 0
  overlay = export.video_writer(out / OVERLAY, video.size, video.frames_per_second)
  with overlay as write, tqdm(total=len(video), unit="frame", desc="segment") as bar:
    for count, (name, frame) in enumerate(zip(video.names, video), 1):
      index = count - 1
      if index < start:  # no object has shown up yet
        labels = np.zeros(video.size, np.int32)
      elif index == start:
        labels = segmenter.start(frame, first_labels).labels
      else:
        new = _new_labels(masks, name, segmenter)
        labels = segmenter.step(frame, new).labels
      path = out / f"{name}.png"
      if not path.exists():
        export.write_labels(path, labels)
      write(viz.overlay(frame, labels))
      bar.update()
  return count


def _new_labels(masks, name, segmenter):
  """Labels of objects that show up in this frame, or None."""
  if name not in masks:
    return None
  labels = video_files.read_new_labels(masks[name], segmenter.object_ids)
  return labels if labels.any() else None


def _describe(args, video) -> dict[str, Any]:
  """What a folder of results came from: another job must not mix into it."""
  return {
      "video": str(args.video.resolve()),
      "frames": len(video),
      "mask": None if args.mask is None else str(args.mask.resolve()),
      "mask_changed": _last_change(args.mask),
      "checkpoint": str(args.checkpoint.resolve()),
      "checkpoint_changed": _last_change(args.checkpoint),
  }


def _last_change(path) -> int | None:
  """Time of the latest change in a file or folder, in nanoseconds."""
  if path is None or not path.exists():
    return None
  inside = path.rglob("*") if path.is_dir() else ()
  return max(item.stat().st_mtime_ns for item in (path, *inside))


def _is_finished(out, job) -> bool:
  """Whether `out` holds this job, whole; raises if it holds anything else."""
  if not out.exists() or (out.is_dir() and not any(out.iterdir())):
    return False
  try:
    found = json.loads((out / JOB_FILE).read_text())
  except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError):
    raise ValueError(
        f"--out {out}: exists and is no job of `vosjax segment`. Choose a new folder."
    ) from None
  if found != job:
    differing = sorted(key for key in job if found.get(key) != job[key])
    raise ValueError(
        f"--out {out}: holds another job, which differs in {', '.join(differing)}. "
        "Choose a new folder, or delete that one."
    )
  return (out / OVERLAY).exists()


def _claim(out, job):
  """Makes the folder, or says what is resumed."""
  out.mkdir(parents=True, exist_ok=True)
  if not (out / JOB_FILE).exists():
    export.write_bytes(out / JOB_FILE, json.dumps(job, indent=2).encode())
    return
  for draft in out.glob(".*.part*"):  # of a run that was killed
    draft.unlink()
  there = len(list(out.glob("*.png")))
  print(
      f"{out}: resuming, {there} of {job['frames']} masks are kept; frames are "
      "computed again from the first one, as the model remembers them."
  )
