"""`vosjax segment`: segments the objects in a video of the user's own."""

import argparse
import pathlib
from collections.abc import Iterator
from typing import Any, get_args

from tqdm import tqdm

from vosjax import checkpoints, convert, models, viz
from vosjax.cli.segment_job import Job
from vosjax.convert import PARTS
from vosjax.evaluation.prompts import object_prompts
from vosjax.inference import references, refinement
from vosjax.inference.engine import VideoSegmenter
from vosjax.inference.frame_result import FrameResult
from vosjax.media import read
from vosjax.media.write import video_writer, write_labels
from vosjax.models.cosnet import Fusion

EXAMPLE = """
examples:
  vosjax segment holiday.mp4 --mask first.png --checkpoint runs/agame/model --out result
  vosjax segment holiday.mp4 --model cosnet --checkpoint weights/cosnet --out result

A-GAME and one-shot RVOS follow the objects of a mask. COSNet finds the primary object
of a video without a mask; RVOS, RSIS and RIS find up to ten objects. RSIS and RIS treat
every frame as a separate image, so their ids do not persist from frame to frame.

The mask is a palette or grayscale PNG of the frames' size whose pixel values are object
ids: 0 = background, 1 to 254 = objects, 255 = void. A grayscale mask of only 0 and 255
(DAVIS 2016) is object 1. With a folder of masks, named after frames, objects can appear
later: each is followed from its first mask on.

DIR receives a palette PNG for each frame, named after it, and overlay.mp4. The same
command resumes a job that was stopped: all frames are computed again, because a model
remembers what it has seen, but masks that exist are kept.
"""

NO_CHECKPOINT = (
  "--checkpoint is missing: {model} needs trained weights. Train the built-in default "
  "(`vosjax train {model} --workdir=DIR`) and give "
  "--checkpoint DIR/model"
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
NO_CRF = (
  "--crf is for the one object that cosnet finds, not for those of {model}. Leave it "
  "out."
)

DEFAULT_MODEL = "agame"
COSNET = "cosnet"
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
    help="folder for the results; one that holds the same job is resumed",
  )
  parser.add_argument(
    "--mask",
    type=path,
    metavar="FIRST.png",
    help="objects in the first frame, or a folder of masks",
  )
  parser.add_argument(
    "--model",
    metavar="NAME",
    help=f"{', '.join(sorted(models.MODELS))}: refuse a checkpoint of another "
    "model (default: whatever the checkpoint holds)",
  )
  parser.add_argument(
    "--checkpoint",
    type=path,
    metavar="DIR",
    help="WORKDIR/model of a training run, or --out of `vosjax convert`",
  )
  cosnet = parser.add_argument_group("for cosnet")
  cosnet.add_argument(
    "--references",
    type=_parse_references,
    metavar="N",
    help=f"number of reference frames: 0 to {references.MAX_REFERENCES}, or all "
    "(default: that of the checkpoint; 5 for official weights)",
  )
  cosnet.add_argument(
    "--reference-policy",
    choices=get_args(references.Policy),
    default="uniform",
    help="references spread over the video, drawn at random once, or next to the "
    "frame (default: uniform)",
  )
  cosnet.add_argument(
    "--fusion",
    choices=get_args(Fusion),
    help="how to combine references: average what is read from each, average the "
    "masks that each gives (the released test), read from all at once, or the released "
    "group model (default: that of the checkpoint; summary for official weights)",
  )
  cosnet.add_argument(
    "--seed",
    type=int,
    default=0,
    metavar="N",
    help="seed of the random policy (default: 0)",
  )
  cosnet.add_argument(
    "--crf", action="store_true", help="move masks to image edges by a dense CRF"
  )


def run(args: argparse.Namespace) -> None:
  """Segments a video; everything that can be wrong is checked before it starts.

  Raises:
    ValueError: an argument or an input file cannot be used; one line says why.
    OSError: a file cannot be read or written.
  """
  _check_arguments(args)
  video = read.read_video(args.video)
  prompts = None
  if args.mask is not None:
    prompts = object_prompts(read.read_masks(args.mask, video), late=True)
  job = Job.describe(args, video)
  if job.is_finished(args.out, OVERLAY):
    print(f"{args.out}: finished before, nothing to do ({len(video)} frames).")
    return
  segmenter, name = load_segmenter(
    args.checkpoint,
    args.model,
    fusion=args.fusion,
    references=args.references,
    reference_policy=args.reference_policy,
    seed=args.seed,
  )
  if segmenter.one_shot != (prompts is not None):
    message = NO_MASK if segmenter.one_shot else NEEDLESS_MASK
    raise ValueError(message.format(model=name))
  if args.crf and name != COSNET:
    raise ValueError(NO_CRF.format(model=name))
  job.begin(args.out)
  _write(segmenter.run(video, prompts), video, args.out, crf=args.crf)
  print(f"{args.out}: {len(video)} masks and {OVERLAY}.")


def _check_arguments(args: argparse.Namespace) -> None:
  """Checks what can be checked without reading a file."""
  if args.model is not None and args.model not in models.MODELS:
    raise ValueError(
      f"--model {args.model} is unknown; known: {sorted(models.MODELS)}."
    )
  if args.checkpoint is None:
    raise ValueError(_no_checkpoint(args.model or DEFAULT_MODEL))


def _no_checkpoint(name: str) -> str:
  """The message that says how to get a checkpoint of this model."""
  text = NO_CHECKPOINT + (OFFICIAL if name in convert.TABLES else "") + "."
  files = " ".join(f"{part.upper()}.pth" for part in PARTS.get(name, ("file",)))
  return text.format(model=name, files=files)


def load_segmenter(
  checkpoint: pathlib.Path,
  expected: str | None,
  *,
  fusion: Fusion | None = None,
  **options: Any,
) -> tuple[VideoSegmenter, str]:
  """Loads a checkpoint into a segmenter.

  Args:
    checkpoint: folder of the model.
    expected: name that the model must have; None for any.
    fusion: how to combine references, if not as in the checkpoint.
    **options: of the segmenter.

  Returns:
    The segmenter and the name of its model.

  Raises:
    ValueError: there is no such checkpoint, it is of another model than expected, or
      the model does not have one of the options.
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
    if name != COSNET:
      raise ValueError(NO_FUSION.format(model=name))
    model = model.clone(fusion=fusion)
  return VideoSegmenter(model, variables, **options), name


def _write(
  results: Iterator[FrameResult],
  video: read.VideoFrames,
  out: pathlib.Path,
  *,
  crf: bool,
) -> None:
  """Segments and writes frame by frame: a mask for each, and the overlay video.

  Args:
    results: one per frame; each is computed when it is taken.
    video: that they belong to.
    out: folder for the results; masks that it holds are kept.
    crf: refine masks by a dense CRF.
  """
  with (
    video_writer(out / OVERLAY, video.size, video.frames_per_second) as write_overlay,
    tqdm(total=len(video), unit="frame", desc="segment") as bar,
  ):
    for name, result in zip(video.frame_names, results, strict=True):
      labels = refinement.refine_labels(result) if crf else result.labels
      path = out / f"{name}.png"
      if not path.exists():
        write_labels(path, labels)
      write_overlay(viz.overlay(result.frame, labels))
      bar.update()


def _parse_references(text: str) -> references.Count:
  """Parses `--references`: a number, or all."""
  try:
    count: references.Count = "all" if text == "all" else int(text)
    references.check(count, "uniform")
  except ValueError:
    raise argparse.ArgumentTypeError(
      f"{text!r} is neither 0 to {references.MAX_REFERENCES} nor {references.ALL}"
    ) from None
  return count
