"""`vosjax segment`: segments objects in a video, from the files to the results.

`run` checks the arguments, reads the inputs and loads the model. `_write_results` draws
one result after the other from `VideoSegmenter.run` and writes it.
"""

import argparse
import pathlib
from collections.abc import Iterator
from typing import Any, get_args

from tqdm import tqdm

from vosjax import convert, models, viz, weights
from vosjax.cli import program_cache
from vosjax.cli.segment_job import Job
from vosjax.evaluation.prompts import object_prompts
from vosjax.inference import references, refinement
from vosjax.inference.engine import VideoSegmenter
from vosjax.inference.frame_result import FrameResult
from vosjax.media.masks import read_masks
from vosjax.media.pyav import load_pyav
from vosjax.media.read import VideoFrames, read_video
from vosjax.media.write import video_writer, write_labels
from vosjax.models.cosnet import ReferenceFusion

EXAMPLE = """
examples:
  vosjax segment holiday.mp4 --mask first.png --out result
  vosjax segment holiday.mp4 --mask first.png --checkpoint runs/mine/model --out mine
  vosjax segment holiday.mp4 --model cosnet --checkpoint weights/cosnet --out cosnet

A-GAME and one-shot RVOS follow the objects of a mask. COSNet finds the primary object
of a video without a mask; zero-shot RVOS, RSIS and RIS find up to ten objects. RSIS and
RIS treat every frame as a separate image, so their ids do not persist from frame to
frame.

The mask is a palette or grayscale PNG of the frames' size whose pixel values are object
ids: 0 = background, 1 to 254 = objects, 255 = void. A grayscale mask of only 0 and 255
(DAVIS 2016) is object 1. With a folder of masks, named after frames, objects can appear
later: each is followed from the first mask that shows it.

The --out folder receives a palette PNG for each frame, named after it, and overlay.mp4.
If the command is interrupted, the same command resumes it: all frames are segmented
again, because the model depends on earlier frames, but masks that exist are kept.
"""

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
    help="a video file, or a folder of frames, sorted by name",
  )
  parser.add_argument(
    "--out",
    type=path,
    required=True,
    metavar="DIR",
    help="folder for the results; an interrupted job in it is resumed",
  )
  parser.add_argument(
    "--mask",
    type=path,
    metavar="FIRST.png",
    help="mask of the objects in the first frame, or a folder of masks",
  )
  parser.add_argument(
    "--model",
    metavar="NAME",
    help=f"{', '.join(sorted(models.MODELS))}: reject a checkpoint of any other "
    "model (default: accept any)",
  )
  parser.add_argument(
    "--checkpoint",
    type=path,
    metavar="DIR",
    help="WORKDIR/model of a training run, or --out of `vosjax convert` (default: the "
    "weights that come with vosjax)",
  )
  cosnet = parser.add_argument_group("options of cosnet")
  cosnet.add_argument(
    "--references",
    type=_parse_references,
    metavar="N",
    help=f"number of reference frames: 0 to {references.MAX_REFERENCES}, or all "
    "(default: that of the checkpoint; 5 for official weights)",
  )
  cosnet.add_argument(
    "--reference-policy",
    choices=get_args(references.ReferencePolicy),
    default="uniform",
    help="which frames are references: spread uniformly over the video, drawn at "
    "random once per video, or the frame's neighbours (default: uniform)",
  )
  cosnet.add_argument(
    "--fusion",
    choices=get_args(ReferenceFusion),
    help="how to combine references: summary averages what is read from each, "
    "prediction averages the masks that each gives (the released test), joint reads "
    "from all at once, group is the released group model (default: that of the "
    "checkpoint; summary for official weights)",
  )
  cosnet.add_argument(
    "--seed",
    type=int,
    default=0,
    metavar="N",
    help="seed of the random reference policy (default: 0)",
  )
  cosnet.add_argument(
    "--crf", action="store_true", help="align masks with image edges by a dense CRF"
  )


def _parse_references(text: str) -> references.ReferenceCount:
  """Parses `--references`: a number, or `all`."""
  try:
    count: references.ReferenceCount = "all" if text == "all" else int(text)
    references.check(count, "uniform")
  except ValueError:
    raise argparse.ArgumentTypeError(
      f"{text!r} is neither a number from 0 to {references.MAX_REFERENCES} nor "
      f"{references.ALL}"
    ) from None
  return count


def run(args: argparse.Namespace) -> None:
  """Segments a video, after checking all arguments and input files.

  Raises:
    ValueError: an argument or an input file is unusable; one line says why.
    OSError: a file cannot be read or written.
  """
  _check_arguments(args)
  if args.checkpoint is None:
    args.checkpoint = _default_weights(args.model or DEFAULT_MODEL)
  video = read_video(args.video)
  prompts = None
  if args.mask is not None:
    prompts = object_prompts(
      read_masks(args.mask, video.frame_names, video.size), late=True
    )
  job = Job.from_arguments(args, video)
  job.check_folder(args.out)
  if job.is_finished(args.out, OVERLAY):
    print(f"{args.out}: already finished, nothing to do.")
    return
  segmenter, name = load_segmenter(
    args.checkpoint,
    args.model,
    fusion=args.fusion,
    references=args.references,
    reference_policy=args.reference_policy,
    seed=args.seed,
  )
  _check_model(args, name, segmenter.one_shot)
  job.begin(args.out)
  results = segmenter.run(video, prompts)  # lazy: each `next` segments one frame
  _write_results(results, video, args.out, crf=args.crf)
  masks = "1 mask" if len(video) == 1 else f"{len(video)} masks"
  print(f"{args.out}: {masks} and {OVERLAY}.")


def _check_arguments(args: argparse.Namespace) -> None:
  """Checks what can be checked without reading a file."""
  load_pyav("overlay videos")
  if args.model is not None and args.model not in models.MODELS:
    raise ValueError(
      f"--model {args.model} is unknown; known: {sorted(models.MODELS)}."
    )


def _default_weights(model: str) -> pathlib.Path:
  """The weights in the package for a model, after saying that they are used."""
  if model not in weights.DEFAULTS:
    raise ValueError(_no_checkpoint(model))
  name = weights.DEFAULTS[model]
  print(f"weights: {name}, which come with vosjax; --checkpoint DIR uses others.")
  return weights.locate(name)


def _no_checkpoint(model: str) -> str:
  """The error message that tells how to obtain a checkpoint of this model."""
  text = (
    f"--checkpoint is missing: {model} needs trained weights. Train it "
    f"(`vosjax train {model} --workdir=DIR`) and give --checkpoint DIR/model"
  )
  if model not in convert.TABLES:
    return f"{text}."
  files = " ".join(
    f"{part.upper()}.pth" for part in convert.PARTS.get(model, ("file",))
  )
  return (
    f"{text}, or convert the official weights (`vosjax convert {model} {files} --out "
    "DIR`) and give --checkpoint DIR."
  )


def load_segmenter(
  checkpoint: pathlib.Path,
  expected: str | None,
  *,
  fusion: ReferenceFusion | None = None,
  **options: Any,
) -> tuple[VideoSegmenter, str]:
  """Loads a checkpoint into a segmenter.

  Args:
    checkpoint: folder of the model, or weights of the package.
    expected: name of the model that the checkpoint must hold; None for any.
    fusion: how to combine references; None keeps the checkpoint's way.
    **options: of `VideoSegmenter`.

  Returns:
    The segmenter and the name of its model.

  Raises:
    ValueError: there is no such checkpoint, it holds another model than expected, or
      one of the options does not apply to the model.
  """
  program_cache.enable()
  model, variables = weights.load(checkpoint)
  names = [name for name, kind in models.MODELS.items() if type(model) is kind]
  name = names[0] if names else type(model).__name__
  if not names or expected not in (None, name):
    raise ValueError(
      f"{checkpoint}: holds a checkpoint of {name}, not of "
      f"{expected or DEFAULT_MODEL}. Give another --checkpoint"
      + (", or leave --model out." if names else ".")
    )
  if fusion is not None:
    if name != COSNET:
      raise ValueError(
        f"--fusion combines cosnet's references; {name} has none. Leave it out."
      )
    model = model.clone(fusion=fusion)
  return VideoSegmenter(model, variables, **options), name


def _check_model(args: argparse.Namespace, name: str, one_shot: bool) -> None:
  """Refuses arguments that the model cannot use, and a missing mask that it needs.

  Args:
    args: of the command.
    name: of the model.
    one_shot: whether the model follows objects that are given.
  """
  if one_shot and args.mask is None:
    raise ValueError(
      f"--mask is missing: {name} follows the objects that are marked in a mask of the "
      "first frame. Give --mask FIRST.png, or a folder of masks named after frames."
    )
  if not one_shot and args.mask is not None:
    raise ValueError(
      f"--mask is given, but this {name} is zero-shot: it finds objects by itself. "
      "Leave --mask out."
    )
  if args.crf and name != COSNET:
    raise ValueError(
      "--crf refines the single object that cosnet finds; it does not apply to "
      f"{name}. Leave it out."
    )


def _write_results(
  results: Iterator[FrameResult],
  video: VideoFrames,
  out: pathlib.Path,
  *,
  crf: bool,
) -> None:
  """Writes a mask for each frame and the overlay video, with a progress bar.

  Args:
    results: one per frame; drawing one segments the frame.
    video: the frames.
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
