"""`vosjax segment`: objects through a video of one's own."""

import argparse
import itertools
import json
import os
import pathlib
from typing import Any, get_args

from tqdm import tqdm

from vosjax import checkpoints, convert, files, models, viz
from vosjax.convert import PARTS
from vosjax.inference import references, refinement
from vosjax.inference.engine import VideoSegmenter
from vosjax.media import read
from vosjax.media.write import video_writer, write_labels
from vosjax.models.cosnet import Fusion

EXAMPLE = """
examples:
  vosjax segment holiday.mp4 --mask first.png --checkpoint runs/agame/model --out result
  vosjax segment holiday.mp4 --model cosnet --checkpoint weights/cosnet --out result

A-GAME and one-shot RVOS follow the objects of a mask. COSNet finds the primary object
of a video without any, RVOS, RSIS and RIS find up to ten; RSIS and RIS take each frame
for a picture of its own, so that their ids say nothing from frame to frame.

The mask is a palette or grey PNG of the frames' size whose pixel values are object
ids: 0 = background, 1 to 254 = objects, 255 = void. A grey one of nothing but 0 and
255 (DAVIS 2016) is object 1. A folder of masks, named after frames, lets objects
appear later: an object is followed from its first mask on.

DIR receives a palette PNG for each frame, named after it, and overlay.mp4. A job that
was stopped goes on with the same command. All frames are computed again, because a
model remembers what it saw, but masks that are there are kept.
"""

NO_CHECKPOINT = (
  "--checkpoint is missing: {model} needs trained weights. Train the embedded "
  "default (`python -m vosjax.main --config=configs/{model}.py --workdir=DIR`) and "
  "give --checkpoint DIR/model"
)
OFFICIAL = (
  ", or convert the official weights (`vosjax convert {model} {files} --out DIR`) "
  "and give --checkpoint DIR"
)
NO_MASK = (
  "--mask is missing: {model} follows the objects that a mask of the first frame "
  "shows. Give --mask FIRST.png, or a folder of masks named after frames."
)
NEEDLESS_MASK = (
  "--mask is given, but this {model} is zero-shot and finds objects by itself. Leave "
  "it out."
)
NO_FUSION = "--fusion is for cosnet's references; {model} takes none. Leave it out."
NO_PRIMARY = "--crf is for the one object that cosnet finds, not for those of {model}."

DEFAULT_MODEL = "agame"
PRIMARY = "cosnet"
JOB_FILE = "segment.json"
OVERLAY = "overlay.mp4"


def configure(parser: argparse.ArgumentParser) -> None:
  """Adds the arguments of `vosjax segment`."""
  parser.epilog = EXAMPLE
  path = pathlib.Path
  parser.add_argument(
    "video",
    type=path,
    metavar="VIDEO_OR_FOLDER",
    help="a video file, or a folder of frames, ordered by name",
  )
  parser.add_argument(
    "--out",
    type=path,
    required=True,
    metavar="DIR",
    help="folder to make; one that holds this very job is continued",
  )
  parser.add_argument(
    "--mask",
    type=path,
    metavar="FIRST.png",
    help="objects of the first frame, or a folder of masks",
  )
  parser.add_argument(
    "--model",
    metavar="NAME",
    help=f"{', '.join(sorted(models.MODELS))}: refuse a checkpoint of another "
    "model (default: take what the checkpoint holds)",
  )
  parser.add_argument(
    "--checkpoint",
    type=path,
    metavar="DIR",
    help="what training left in WORKDIR/model, or `vosjax convert` in its --out",
  )
  cosnet = parser.add_argument_group("for cosnet")
  cosnet.add_argument(
    "--references",
    type=_references,
    metavar="N",
    help=f"other frames that help with each: 0 to {references.MAX_REFERENCES}, or "
    "all (default: as the checkpoint says, 5 if official)",
  )
  cosnet.add_argument(
    "--reference-policy",
    choices=get_args(references.Policy),
    default="uniform",
    help="spread over the video, drawn once, or next to the frame (default uniform)",
  )
  cosnet.add_argument(
    "--fusion",
    choices=get_args(Fusion),
    help="of several references: the mean of what is read from each, the mean of the "
    "masks with each (the released test), one reading of all, or the released group "
    "model (default: as the checkpoint says, summary if official)",
  )
  cosnet.add_argument(
    "--seed", type=int, default=0, metavar="N", help="of the random policy (default 0)"
  )
  cosnet.add_argument(
    "--crf",
    action="store_true",
    help="let masks follow the edges of the picture by a dense CRF",
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
    raise ValueError(_no_checkpoint(args.model or DEFAULT_MODEL))
  video = read.open_video(args.video)
  masks = {}
  start, labels = 0, None
  if args.mask is not None:
    masks = read.open_masks(args.mask, video)
    start, labels = read.read_first_labels(masks, video)
  job = _describe(args, video)
  if _is_finished(args.out, job):
    print(f"{args.out}: finished before, nothing to do ({len(video)} frames).")
    return
  options = {
    "references": args.references,
    "reference_policy": args.reference_policy,
    "seed": args.seed,
  }
  segmenter, name = load_segmenter(
    args.checkpoint, args.model, fusion=args.fusion, **options
  )
  if segmenter.one_shot != (labels is not None):
    fault = NO_MASK if segmenter.one_shot else NEEDLESS_MASK
    raise ValueError(fault.format(model=name))
  if args.crf and name != PRIMARY:
    raise ValueError(NO_PRIMARY.format(model=name))
  _claim(args.out, job)
  given = None
  if labels is not None:
    new = _new_labels(masks, video.names[start + 1 :], segmenter)
    given = itertools.chain([None] * start, [labels], new)
  count = _write(segmenter.run(video, given), video, args.out, args.crf)
  print(f"{args.out}: {count} masks and {OVERLAY}.")


def load_segmenter(
  checkpoint: pathlib.Path,
  expected: str | None,
  *,
  fusion: Fusion | None = None,
  **options: Any,
) -> tuple[VideoSegmenter, str]:
  """A segmenter from a checkpoint, and the name of its model.

  Args:
    checkpoint: folder of the model.
    expected: name of the model, if it must be a certain one.
    fusion: of references, if not that of the checkpoint.
    **options: of the segmenter.

  Raises:
    ValueError: there is no such checkpoint, it is of another model than the expected
      one, or that model does not have these options.
  """
  model, variables = checkpoints.load(checkpoint)
  names = [name for name, kind in models.MODELS.items() if type(model) is kind]
  name = names[0] if names else type(model).__name__
  if not names or expected not in (None, name):
    raise ValueError(
      f"{checkpoint}: is a checkpoint of {name}, not of {expected or DEFAULT_MODEL}. "
      "Give another --checkpoint" + (", or leave --model out." if names else ".")
    )
  if fusion is not None:
    if name != PRIMARY:
      raise ValueError(NO_FUSION.format(model=name))
    model = model.clone(fusion=fusion)
  return VideoSegmenter(model, variables, **options), name


def _no_checkpoint(name) -> str:
  """What is missing, and how to get it for this model."""
  text = NO_CHECKPOINT
  if name in convert.TABLES:
    text += OFFICIAL
  files = " ".join(f"{part.upper()}.pth" for part in PARTS.get(name, ("file",)))
  return text.format(model=name, files=files) + "."


def _references(text: str) -> references.Count:
  """The number of references, or all."""
  try:
    count = text if text == references.ALL else int(text)
    references.check(count, "uniform")
  except ValueError:
    raise argparse.ArgumentTypeError(
      f"{text!r} is neither 0 to {references.MAX_REFERENCES} nor {references.ALL}"
    ) from None
  return count


def _write(results, video, out, crf) -> int:
  """Writes masks and overlay; returns the number of frames."""
  count = 0
  overlay = video_writer(out / OVERLAY, video.size, video.frames_per_second)
  with overlay as write, tqdm(total=len(video), unit="frame", desc="segment") as bar:
    for name, result in zip(video.names, results):
      labels = refinement.refine_labels(result) if crf else result.labels
      path = out / f"{name}.png"
      if not path.exists():
        write_labels(path, labels)
      write(viz.overlay(result.frame, labels))
      bar.update()
      count += 1
  return count


def _new_labels(masks, names, segmenter):
  """Labels of objects that show up in each of these frames, or None."""
  for name in names:
    labels = None
    if name in masks:
      labels = read.read_new_labels(masks[name], segmenter.object_ids)
    yield labels if labels is not None and labels.any() else None


def _describe(args, video) -> dict[str, Any]:
  """What a folder of results came from: another job must not mix into it."""
  return {
    "video": str(args.video.resolve()),
    "video_changed": max(file.stat().st_mtime_ns for file in video.files),
    "frames": len(video),
    "mask": None if args.mask is None else str(args.mask.resolve()),
    "mask_changed": _last_change(args.mask),
    "checkpoint": str(args.checkpoint.resolve()),
    "checkpoint_changed": _last_change(args.checkpoint),
    "references": args.references,
    "reference_policy": args.reference_policy,
    "fusion": args.fusion,
    "seed": args.seed,
    "crf": args.crf,
  }


def _last_change(path) -> int | None:
  """Time of the latest change in a file or folder, in nanoseconds."""
  if path is None or not path.exists():
    return None
  inside = path.rglob("*") if path.is_dir() else ()
  return max(item.stat().st_mtime_ns for item in (path, *inside))


def _is_finished(out, job) -> bool:
  """Whether `out` holds this job, whole; raises if it holds anything else."""
  if not out.exists() or (out.is_dir() and {JOB_FILE} >= set(os.listdir(out))):
    return False  # nor has a job that made no mask
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
  if not any(out.glob("*.png")):
    files.write_bytes(out / JOB_FILE, json.dumps(job, indent=2).encode())
    return
  for draft in out.glob(".*.part*"):  # of a run that was killed
    draft.unlink()
  there = len(list(out.glob("*.png")))
  print(
    f"{out}: resuming, {there} of {job['frames']} masks are kept; frames are "
    "computed again from the first one, as the model remembers them."
  )
