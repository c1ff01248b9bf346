"""`vosjax segment`: segments objects in a video, from the files to the results.

`run` checks the arguments and tells one video, many videos and a stream apart.
`_segment_one` reads the inputs of a video (segment_inputs.py), compares its folder with
the command (segment_job.py), loads the model and segments it (segment_video.py).
"""

import argparse
import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any, get_args

from vosjax import convert, files, models, weights
from vosjax.cli import (
  arguments,
  program_cache,
  segment_many,
  segment_stream,
  segment_video,
)
from vosjax.cli.segment_inputs import (
  find_object,
  open_video,
  read_inputs,
  with_found,
)
from vosjax.cli.segment_job import JOB_FILE, Job
from vosjax.inference import references
from vosjax.inference.engine import VideoSegmenter
from vosjax.inference.prompts import Direction
from vosjax.media import outputs, stream
from vosjax.media.video_frames import VideoFrames
from vosjax.models.cosnet import ReferenceFusion
from vosjax.train.interrupt import Interrupt

EXAMPLE = """
examples:
  vosjax segment holiday.mp4 --mask first.png --out result
  vosjax segment holiday.mp4 --mask 00000.png 00120.png --out result --save overlay,coco
  vosjax segment holiday.mp4 --mask masks/ --start 0:10 --end 0:25 --out part
  vosjax segment holiday.mp4 --mask first.png --checkpoint runs/mine/model --out mine
  vosjax segment videos/ --masks masks/ --out results
  ffmpeg -i rtsp://camera -f nut - | vosjax segment - --mask first.png --out live

A-GAME and one-shot RVOS follow the objects of a mask. With neither mask nor checkpoint,
COSNet guesses the primary object of the first frames, and A-GAME follows it; with
--model cosnet, COSNet guesses it in each frame. Zero-shot RVOS, RSIS and RIS find up to
ten objects. RSIS and RIS treat every frame as a separate image, so their ids do not
persist from frame to frame.

A mask is a palette or grayscale PNG of the frames' size whose pixel values are object
ids: 0 = background, 1 to 254 = objects, 255 = void. A black and white mask is object 1.
Several masks, or a folder of them, are named after frames. A mask that shows a new
object adds it; one that shows a known object corrects it, and what is not shown is left
alone. Several masks that are not named after frames hold one object each.

VIDEO may be a file, a folder of frames, a folder or a list of videos (with --masks), or
a stream: - for standard input, a named pipe, the number of a camera, or an address.

The --out folder receives a palette PNG for each frame, named after it, and what --save
lists. If the command is interrupted, the same command goes on from the last state that
was saved; a job that follows objects both ways begins anew.

outputs of --save (masks are always written; default: {default}):
{kinds}
""".format(
  default=",".join(segment_video.DEFAULT_KINDS),
  kinds="\n".join(f"  {kind:<13} {what}" for kind, what in outputs.KINDS.items()),
)

DEFAULT_MODEL = "agame"
COSNET = "cosnet"
_IS_A_GUESS = "sometimes wrongly. --mask FIRST.png follows the objects that you mean."
_POLICY = "uniform"  # of references


def configure(parser: argparse.ArgumentParser) -> None:
  """Adds the arguments of `vosjax segment`."""
  parser.epilog = EXAMPLE
  path = pathlib.Path
  parser.add_argument(
    "video",
    metavar="VIDEO",
    help="a video file, a folder of frames, or one of the others below",
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
    nargs="+",
    action="extend",
    metavar="FILE",
    help="mask of the objects in the first frame; masks or a folder of masks named "
    "after frames; or one file per object",
  )
  parser.add_argument(
    "--masks",
    type=path,
    metavar="DIR",
    help="for many videos: folder with a mask, or a folder of masks, for each video, "
    "named after it",
  )
  parser.add_argument(
    "--colors",
    action="store_true",
    help="make one object of each colour of a mask, numbered by ascending RGB value",
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
  parser.add_argument(
    "--save",
    metavar="KINDS",
    help="what to write, separated by commas; see below",
  )
  parser.add_argument(
    "--direction",
    choices=get_args(Direction),
    help="in which objects are followed from their masks (default: both if there are "
    "frames before a mask, else forward)",
  )
  parser.add_argument(
    "--max-size",
    type=int,
    metavar="N",
    help="reduce frames to N pixels on the longer side for the network; masks come "
    "back at full size, with edges guided by the full image",
  )
  arguments.add_dtype(parser)
  part = parser.add_argument_group("part of a video")
  for option, meaning in (
    ("--start", "first frame: its number, or a time such as 12s or 1:02.5"),
    ("--end", "frame to stop before: its number, or a time such as 12s or 1:02.5"),
    ("--every", "distance of frames: their number, or a time such as 0.5s or 1:02.5"),
  ):
    part.add_argument(option, metavar="T", help=meaning)
  faults = parser.add_argument_group("faulty videos")
  faults.add_argument(
    "--allow-gaps",
    action="store_true",
    help="segment a folder of frames although some numbers are missing",
  )
  faults.add_argument(
    "--allow-damaged",
    action="store_true",
    help="segment what can be decoded of a damaged video, and say what is lost",
  )
  _configure_cosnet(parser)


def _configure_cosnet(parser: argparse.ArgumentParser) -> None:
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
    default=_POLICY,
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


@dataclasses.dataclass
class _Loader:
  """Loads the model when the first video needs it, once for all videos.

  Attributes:
    args: of the command.
    checkpoint: the file or folder of the model.
    finder: the weights that find the object where no mask is given; None if it is not
      looked for.
    loaded: the segmenter and the name of its model.
    loaded_finder: the segmenter that finds the object.
  """

  args: argparse.Namespace
  checkpoint: pathlib.Path
  finder: pathlib.Path | None = None
  loaded: tuple[VideoSegmenter, str] | None = None
  loaded_finder: VideoSegmenter | None = None

  @classmethod
  def from_arguments(cls, args: argparse.Namespace) -> "_Loader":
    """The loader of what the command asks for, which is said if it is the default."""
    if args.checkpoint is not None:
      return cls(args, weights.locate(args.checkpoint))
    if args.mask or args.masks:
      return cls(args, _default_weights(args.model or DEFAULT_MODEL))
    asks_for_cosnet = (
      args.crf
      or args.references is not None
      or args.fusion is not None
      or args.reference_policy != _POLICY
      or args.seed != 0
    )
    if args.model or asks_for_cosnet or stream.is_stream(args.video):
      model = args.model or COSNET
      found = _default_weights(model)
      if model == COSNET:
        print(f"no mask: the primary object is guessed in each frame, {_IS_A_GUESS}")
      return cls(args, found)
    found = _default_weights(DEFAULT_MODEL)  # a list of videos may name masks
    return cls(args, found, weights.locate(weights.DEFAULTS[COSNET]))

  def load(self, *, has_mask: bool) -> VideoSegmenter:
    """The segmenter; ValueError if an argument does not fit the model."""
    args = self.args
    if self.loaded is None:
      self.loaded = load_segmenter(
        self.checkpoint,
        args.model,
        fusion=args.fusion,
        dtype=args.dtype,
        references=args.references,
        reference_policy=args.reference_policy,
        seed=args.seed,
      )
    segmenter, name = self.loaded
    _check_model(args, name, segmenter.one_shot, has_mask or self.finder is not None)
    return segmenter

  def say_what_is_found(self, have_masks: Sequence[bool]) -> None:
    """Says that an object is looked for in some of the videos."""
    if self.finder is not None and not all(have_masks):
      print(f"no mask: the primary object is guessed and then followed, {_IS_A_GUESS}")

  def load_finder(self) -> VideoSegmenter:
    """What finds the object of a video without a mask."""
    if self.loaded_finder is None:
      assert self.finder is not None, "`finder` says whether an object is looked for"
      self.loaded_finder, _ = load_segmenter(self.finder, COSNET, dtype=self.args.dtype)
    return self.loaded_finder


def run(args: argparse.Namespace) -> None:
  """Segments a video, several videos or a stream.

  Raises:
    ValueError: an argument or an input file is unusable; one line says why.
    OSError: a file cannot be read or written.
  """
  kinds = _check_arguments(args)
  loader = _Loader.from_arguments(args)
  if stream.is_stream(args.video):
    segment_stream.run(args, kinds, loader.load)
    return
  video = pathlib.Path(args.video)
  if not segment_many.is_collection(video):
    if args.masks is not None:
      raise ValueError(
        f"--masks {args.masks}: is for many videos, but {video} is one. Use --mask."
      )
    with files.claimed(args.out, f"--out {args.out}"):
      loader.say_what_is_found([bool(args.mask)])
      _segment_one(args, video, args.mask or [], args.out, kinds, loader)
    return
  if args.mask:
    raise ValueError(
      f"--mask {args.mask[0]}: is for one video, but {video} holds several. Give the "
      "folder of their masks with --masks, or one video."
    )
  tasks = segment_many.find_tasks(video, args.masks)
  loader.say_what_is_found([bool(task.masks or task.fault) for task in tasks])
  segment_many.run_all(
    tasks,
    args.out,
    lambda: dataclasses.replace(loader),  # each device has a segmenter of its own
    lambda loader, task, out, stop: _segment_one(
      args, task.video, task.masks, out, kinds, loader, stop
    ),
  )


def _segment_one(
  args: argparse.Namespace,
  path: pathlib.Path,
  masks: Sequence[pathlib.Path],
  out: pathlib.Path,
  kinds: tuple[str, ...],
  loader: _Loader,
  stop: Interrupt | None = None,
) -> None:
  """Segments one video into a folder that no other process writes to.

  What is unusable is refused before work starts.
  """
  finds = not masks and loader.finder is not None
  if finds and args.direction == "backward":
    raise ValueError(
      "--direction backward needs --mask: without one, the object is looked for in the "
      "first frames."
    )

  def describe_job(video: VideoFrames) -> Job:
    return Job.from_arguments(args, video, masks, loader.checkpoint, kinds)

  # A video that is finished is not decoded to look for damage: of many, most may be.
  has_record = (out / JOB_FILE).exists()
  if has_record and describe_job(open_video(args, path)).is_finished(out):
    print(f"{out}: already finished, nothing to do.")
    return
  if not masks:
    loader.load(has_mask=False)  # to ask for a mask before a long video is read
  inputs = read_inputs(args, path, masks)
  job = describe_job(inputs.video)
  job.check_folder(out)
  if job.is_finished(out):
    print(f"{out}: already finished, nothing to do.")
    return
  segmenter = loader.load(has_mask=bool(masks))
  direction: Direction | None = args.direction
  if finds:
    direction = direction or "forward"  # from the first frame that shows the object
    found = job.read_found(out)
    if found is None:
      found = find_object(inputs, loader.load_finder(), segmenter, stop)
      job.keep_found(out, *found)
    inputs = with_found(inputs, found, direction)
  segment_video.segment_video(
    inputs,
    segmenter,
    job,
    out,
    direction=direction,
    max_size=args.max_size,
    crf=args.crf,
    stop=stop,
  )
  number = len(inputs.video)
  written = ["1 mask" if number == 1 else f"{number} masks"]
  written += outputs.final_files(kinds)
  written += [f"{kind}/" for kind in kinds if kind in ("alpha", "objects", "probs")]
  last = written.pop()
  print(f"{out}: {', '.join(written)}{' and ' if written else ''}{last}.")


def _check_arguments(args: argparse.Namespace) -> tuple[str, ...]:
  """Checks what can be checked without reading a file.

  Returns:
    The kinds of results.
  """
  if args.model is not None and args.model not in models.MODELS:
    raise ValueError(
      f"--model {args.model} is unknown; known: {sorted(models.MODELS)}."
    )
  if args.max_size is not None and args.max_size < 32:
    raise ValueError(f"--max-size is {args.max_size}; it must be at least 32 pixels.")
  if args.max_size is not None and args.crf:
    raise ValueError("--crf needs frames at full size. Leave --max-size out.")
  return segment_video.choose_kinds(args.save)


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


def _check_model(
  args: argparse.Namespace, name: str, one_shot: bool, has_mask: bool
) -> None:
  """Refuses arguments that the model cannot use, and a missing mask that it needs.

  Args:
    args: of the command.
    name: of the model.
    one_shot: whether the model follows objects that are given.
    has_mask: whether there is a mask.
  """
  if one_shot and not has_mask:
    raise ValueError(
      f"--mask is missing: {name} follows the objects that are marked in a mask of the "
      "first frame. Give --mask FIRST.png, or a folder of masks named after frames."
    )
  if not one_shot and has_mask:
    raise ValueError(
      f"--mask is given, but this {name} is zero-shot: it finds objects by itself. "
      "Leave --mask out."
    )
  if args.crf and name != COSNET:
    raise ValueError(
      "--crf refines the single object that cosnet finds; it does not apply to "
      f"{name}. Leave it out."
    )
