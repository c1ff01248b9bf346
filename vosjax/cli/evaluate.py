"""`vosjax evaluate`: scores predictions, of a known dataset or beside any truth."""

import argparse
import dataclasses
import pathlib
import sys
import tempfile
from collections.abc import Sequence
from typing import Any

from tqdm import tqdm

from vosjax import cores, files
from vosjax.cli.problems import print_problems
from vosjax.data.formats.folders import first_few
from vosjax.evaluation import (
  any_objects,
  evaluate,
  frame_names,
  mask_folders,
  protocols,
  report,
  two_folders,
)
from vosjax.evaluation.mask_files import MaskFiles
from vosjax.evaluation.results import Result

EXAMPLE = """
examples:
  vosjax evaluate results truth --out scores            two folders of masks
  vosjax evaluate results truth --skip-ends             as DAVIS: inner frames only
  vosjax evaluate results/agame --dataset davis2017 --root DAVIS --out scores

Two folders: PREDICTIONS and TRUTH hold masks with object ids as pixel values, of one
video (FRAME.png) or of many (VIDEO/FRAME.png), named alike. Any ids count, and those
frames that TRUTH has; other predictions are ignored. An object counts in all frames;
where it is absent and not predicted, J and F are 1, as in the DAVIS toolkit.

With --dataset, its protocol decides what counts. PREDICTIONS holds one folder of PNGs
per video, named as in the dataset. --root holds Annotations/[480p/]VIDEO/FRAME.png and,
for the images in the report, JPEGImages in the same layout. YouTube-VOS also needs
meta.json. For FBMS, YouTube-Objects and SegTrack v2, datasets/build.py and
datasets/export.py convert the original files to this layout.

--out receives global_results-SET.csv and per-sequence_results-SET.csv as the DAVIS
toolkit writes them, results.json, curves/VIDEO.svg and report.html.
"""

# Dataset -> the list of videos to score by default; for others, all annotated videos.
DEFAULT_SUBSETS = {
  "davis2016": "2016/val",
  "davis2017": "2017/val",
  "davis2017-unsupervised": "2017/val",
}
UNSUPERVISED_ANNOTATIONS = ("Annotations_unsupervised", "Annotations")

# Option -> the datasets it applies to; none: two folders.
OPTIONS: dict[str, tuple[str, ...]] = {
  "--skip-ends": (),
  "--label-255": (),
  "--from-appearance": (),
  "--match": ("davis2017", "youtube-vos", "segtrack-v2"),
  "--train-meta": ("youtube-vos",),
  "--count-first-frames": ("youtube-vos",),
  "--no-stability": ("davis2016",),
}


def configure(parser: argparse.ArgumentParser) -> None:
  """Adds the arguments of `vosjax evaluate`."""
  parser.epilog = EXAMPLE
  path = pathlib.Path
  parser.add_argument(
    "predictions", type=path, metavar="PREDICTIONS", help="folder of predicted masks"
  )
  parser.add_argument(
    "truth",
    type=path,
    nargs="?",
    metavar="TRUTH",
    help="folder of annotated masks; not with --dataset",
  )
  parser.add_argument(
    "--dataset",
    choices=protocols.PROTOCOLS,
    metavar="NAME",
    help=f"the dataset, which sets the protocol: {', '.join(protocols.PROTOCOLS)}",
  )
  parser.add_argument("--root", type=path, metavar="DIR", help="folder of the dataset")
  parser.add_argument(
    "--out", type=path, metavar="DIR", help="folder to write tables and the report to"
  )
  parser.add_argument(
    "--skip-ends",
    action="store_true",
    help="TRUTH: leave out the first and last frame of each video, as DAVIS does",
  )
  parser.add_argument(
    "--label-255",
    choices=any_objects.MEANINGS,
    metavar="|".join(any_objects.MEANINGS),
    help="what 255 in TRUTH means: pixels to ignore, background (as DAVIS 2017 scores "
    "it) or an object; needed only if there are other ids as well",
  )
  parser.add_argument(
    "--from-appearance",
    action="store_true",
    help="TRUTH: score an object from the frame on in which the truth or the "
    "prediction first shows it, as vos-benchmark does",
  )
  parser.add_argument(
    "--set",
    metavar="LIST",
    dest="subset",
    help="a list in ImageSets such as 2017/val, or a text file of video names "
    "(default: the validation set of DAVIS, all videos of other datasets)",
  )
  parser.add_argument(
    "--match",
    choices=["first-frame"],
    help="match predicted instances to objects in the first frame of each object "
    "(zero-shot RVOS)",
  )
  parser.add_argument(
    "--train-meta",
    type=path,
    metavar="FILE",
    help="YouTube-VOS: meta.json of the training set, whose categories count as seen "
    "(default: train/meta.json beside --root)",
  )
  parser.add_argument(
    "--count-first-frames",
    action="store_true",
    help="YouTube-VOS: also score each object's first annotated frame",
  )
  parser.add_argument(
    "--no-stability", action="store_true", help="davis2016: skip T, the slowest measure"
  )
  parser.add_argument(
    "--by-instances",
    action="store_true",
    help="also print J and F by the number of objects in a video",
  )
  parser.add_argument(
    "--workers",
    type=int,
    default=cores.available(),
    metavar="N",
    help="number of processes (default: %(default)s, one per core)",
  )


@dataclasses.dataclass(frozen=True)
class _Task:
  """What is scored, and where its images are.

  Attributes:
    protocol: name of the protocol.
    options: keyword arguments of the protocol.
    videos: what to score.
    root: folder of the dataset, whose frames the report shows; None without frames.
    subset: name of the list of videos, for file names.
    title: what is compared with what, for the report.
    notes: what was found elsewhere than expected.
  """

  protocol: str
  options: dict[str, Any]
  videos: Sequence[MaskFiles]
  root: pathlib.Path | None
  subset: str
  title: str
  notes: Sequence[str] = ()


def run(args: argparse.Namespace) -> None:
  """Scores the predictions, prints a table and writes the files of `--out`.

  Raises:
    ValueError: an argument or a prediction is unusable. All problems of predictions
      are printed to standard error first.
  """
  _check(args)
  task = _two_folders(args) if args.dataset is None else _dataset(args)
  _print_notes(task)
  result = _score(args, task)
  print(result.table())
  if args.by_instances:
    print(f"\n{result.instances_table()}")
  videos = task.videos
  count = "1 video" if len(videos) == 1 else f"{len(videos)} videos"
  print(f"\n{result.protocol}: {result.description}; {count}, in percent.")
  for line in (*result.readings, *frame_names.by_note(result.warnings)):
    print(f"warning: {line}", file=sys.stderr)
  if args.out is not None:
    _write(args, result, task)
    print(f"written: {args.out / 'report.html'}")


def _two_folders(args: argparse.Namespace) -> _Task:
  pairing = two_folders.pair(args.predictions, args.truth)
  options = {
    "skip_ends": args.skip_ends,
    "label_255": args.label_255,
    "from_appearance": args.from_appearance,
  }
  return _Task(
    any_objects.NAME,
    options,
    pairing.videos,
    pairing.frames_root,
    "all",
    f"{args.predictions.resolve().name} compared with {args.truth.resolve().name}",
    pairing.notes,
  )


def _dataset(args: argparse.Namespace) -> _Task:
  subset = args.subset or DEFAULT_SUBSETS.get(args.dataset)
  unsupervised = args.dataset.endswith("unsupervised")
  videos = mask_folders.find(
    args.predictions,
    args.root,
    subset=subset,
    annotations=UNSUPERVISED_ANNOTATIONS if unsupervised else ("Annotations",),
  )
  name = pathlib.Path(subset).stem if subset else "all"
  title = f"{args.predictions.resolve().name} on {args.dataset}"
  return _Task(args.dataset, _protocol_options(args), videos, args.root, name, title)


def _print_notes(task: _Task) -> None:
  """Says what was matched by other names, and what is ignored."""
  for line in task.notes:
    print(f"note: {line}", file=sys.stderr)
  for line in frame_names.by_note((v.name, v.note) for v in task.videos):
    print(f"warning: {line}", file=sys.stderr)
  extra = [v.prediction[0].parent / name for v in task.videos for name in v.extra]
  if extra:
    what = "1 prediction belongs to no annotated frame and is"
    if len(extra) > 1:
      what = f"{len(extra)} predictions belong to no annotated frame and are"
    print(f"note: {what} ignored: {first_few(extra, 3)}.", file=sys.stderr)


def _check(args: argparse.Namespace) -> None:
  """Refuses unusable arguments at once rather than after hours of work."""
  if args.workers < 1:
    raise ValueError(f"--workers is {args.workers}; it must be 1 or more.")
  _check_form(args)
  for option, datasets in OPTIONS.items():
    given = vars(args)[option[2:].replace("-", "_")]
    if given and not (args.dataset in datasets or not args.dataset and not datasets):
      raise ValueError(
        f"{option} does not apply to {args.dataset or 'two folders'}, only to "
        f"{', '.join(datasets) or 'two folders (PREDICTIONS TRUTH)'}. Leave it out."
      )
  if args.out is not None:
    parents = (args.out, *args.out.absolute().parents)
    existing = next(path for path in parents if path.exists())
    try:  # os.access says yes to root, also where there is nothing to write to
      tempfile.TemporaryFile(dir=existing).close()
    except OSError:
      raise ValueError(
        f"--out {args.out}: {existing} is not a writable folder. Choose another."
      ) from None


def _check_form(args: argparse.Namespace) -> None:
  """Either TRUTH, or --dataset and --root."""
  if args.truth is not None:
    named = {"--dataset": args.dataset, "--root": args.root, "--set": args.subset}
    if given := [option for option, value in named.items() if value is not None]:
      raise ValueError(
        f"TRUTH is {args.truth}, and {given[0]} is given as well. Give two folders, or "
        "--dataset and --root."
      )
  elif args.dataset is None or args.root is None:
    raise ValueError(
      "give two folders, vosjax evaluate PREDICTIONS TRUTH, or the dataset: "
      "vosjax evaluate PREDICTIONS --dataset NAME --root DIR."
    )


def _score(args: argparse.Namespace, task: _Task) -> Result:
  """Scores all videos and shows a progress bar."""
  videos = task.videos
  try:
    with tqdm(total=len(videos), unit="video", leave=False, disable=None) as bar:

      def progress(name: str) -> None:
        bar.set_description(name)
        bar.update()

      return evaluate.evaluate_files(
        task.protocol,
        videos,
        options=task.options,
        match_first=args.match is not None,
        workers=min(args.workers, len(videos)),
        progress=progress,
      )
  except evaluate.UnusablePredictionsError as error:
    print_problems(error.problems)
    raise ValueError(
      f"nothing was scored: {len(error.problems)} problem(s), listed above. Fix them "
      "and run the command again."
    ) from None


def _write(args: argparse.Namespace, result: Result, task: _Task) -> None:
  """Writes tables, curves and the report, each of them atomically."""
  texts = {
    f"global_results-{task.subset}.csv": result.global_csv(),
    f"per-sequence_results-{task.subset}.csv": result.rows_csv(),
    "results.json": result.to_json(),
    "report.html": report.report_html(
      result,
      task.videos,
      title=task.title,
      protocol=evaluate.build_protocol(task.protocol, **task.options),
      root=task.root,
      match_first=args.match is not None,
      workers=args.workers,
    ),
  }
  for video in task.videos:
    rows = [row for row in result.rows if row.video == video.name]
    if rows:
      texts[f"curves/{video.name}.svg"] = report.curves_svg(rows)
  for name, text in texts.items():
    path = args.out / name
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write_bytes(path, text.encode())


def _protocol_options(args: argparse.Namespace) -> dict[str, Any]:
  """Keyword arguments of the protocol's function."""
  if args.dataset == "davis2016":
    return {"stability": not args.no_stability}
  if args.dataset != "youtube-vos":
    return {}
  meta = args.train_meta or args.root.parent / "train" / "meta.json"
  if not meta.is_file():
    raise ValueError(
      f"{meta}: no such file. It lists the categories that are seen in training: give "
      "--train-meta FILE, the meta.json of the YouTube-VOS training set."
    )
  return {
    "seen": mask_folders.seen_categories(meta),
    "skip_first": not args.count_first_frames,
  }
