"""`vosjax evaluate`: scores a folder of predictions under a dataset's protocol."""

import argparse
import os
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

from tqdm import tqdm

from vosjax import files
from vosjax.evaluation import evaluate, mask_folders, protocols, report
from vosjax.evaluation.results import Result

EXAMPLE = """
example:
  vosjax evaluate results/agame --dataset davis2017 --root DAVIS --out scores

PREDICTIONS holds one folder of PNGs per video, named as in the dataset, with object ids
as pixel values. --root holds Annotations/[480p/]VIDEO/FRAME.png and, for the images in
the report, JPEGImages in the same layout. YouTube-VOS also needs meta.json. For FBMS,
YouTube-Objects and SegTrack v2, datasets/build.py and datasets/export.py convert the
original files to this layout.

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

# Option -> the datasets it applies to.
OPTIONS = {
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
    "--dataset",
    required=True,
    choices=protocols.PROTOCOLS,
    metavar="NAME",
    help=f"the dataset, which sets the protocol: {', '.join(protocols.PROTOCOLS)}",
  )
  parser.add_argument(
    "--root", type=path, required=True, metavar="DIR", help="folder of the dataset"
  )
  parser.add_argument(
    "--out", type=path, metavar="DIR", help="folder to write tables and the report to"
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
    default=os.cpu_count() or 1,
    metavar="N",
    help="number of processes (default: %(default)s, one per core)",
  )


def run(args: argparse.Namespace) -> None:
  """Scores the predictions, prints a table and writes the files of `--out`.

  Raises:
    ValueError: an argument or a prediction is unusable. All problems of predictions
      are printed to standard error first.
  """
  _check(args)
  subset = args.subset or DEFAULT_SUBSETS.get(args.dataset)
  unsupervised = args.dataset.endswith("unsupervised")
  videos = mask_folders.find(
    args.predictions,
    args.root,
    subset=subset,
    annotations=UNSUPERVISED_ANNOTATIONS if unsupervised else ("Annotations",),
  )
  result = _score(args, videos)
  print(result.table())
  if args.by_instances:
    print(f"\n{result.instances_table()}")
  count = "1 video" if len(videos) == 1 else f"{len(videos)} videos"
  print(f"\n{result.protocol}: {result.description}; {count}, in percent.")
  if args.out is not None:
    subset_name = pathlib.Path(subset).stem if subset else "all"
    _write(args, result, videos, subset_name)
    print(f"written: {args.out / 'report.html'}")


def _check(args: argparse.Namespace) -> None:
  """Refuses unusable arguments at once rather than after hours of work."""
  if args.workers < 1:
    raise ValueError(f"--workers is {args.workers}; it must be 1 or more.")
  for option, datasets in OPTIONS.items():
    if vars(args)[option[2:].replace("-", "_")] and args.dataset not in datasets:
      raise ValueError(
        f"{option} does not apply to {args.dataset}, only to {', '.join(datasets)}. "
        "Leave it out."
      )
  if args.out is not None:
    parents = (args.out, *args.out.absolute().parents)
    existing = next(path for path in parents if path.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
      raise ValueError(
        f"--out {args.out}: {existing} is not a writable folder. Choose another."
      )


def _score(
  args: argparse.Namespace, videos: Sequence[mask_folders.MaskFiles]
) -> Result:
  """Scores all videos and shows a progress bar."""
  try:
    with tqdm(total=len(videos), unit="video", leave=False) as bar:

      def progress(name: str) -> None:
        bar.set_description(name)
        bar.update()

      return evaluate.evaluate_files(
        args.dataset,
        videos,
        options=_protocol_options(args),
        match_first=args.match is not None,
        workers=min(args.workers, len(videos)),
        progress=progress,
      )
  except evaluate.UnusablePredictionsError as error:
    print(*error.problems, sep="\n", file=sys.stderr)
    raise ValueError(
      f"nothing was scored: {len(error.problems)} problem(s), listed above. Fix them "
      "and run the command again."
    ) from None


def _write(
  args: argparse.Namespace,
  result: Result,
  videos: Sequence[mask_folders.MaskFiles],
  subset: str,
) -> None:
  """Writes tables, curves and the report, each of them atomically."""
  texts = {
    f"global_results-{subset}.csv": result.global_csv(),
    f"per-sequence_results-{subset}.csv": result.rows_csv(),
    "results.json": result.to_json(),
    "report.html": report.report_html(
      result,
      videos,
      predictions=args.predictions.name,
      root=args.root,
      match_first=args.match is not None,
    ),
  }
  for video in videos:
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
