"""`vosjax evaluate`: the benchmarks' numbers of a folder of predictions."""

import argparse
import os
import pathlib
import sys
from typing import Any

from tqdm import tqdm

from vosjax import files
from vosjax.evaluation import evaluate, mask_folders, protocols, report
from vosjax.evaluation.results import Result

EXAMPLE = """
example:
  vosjax evaluate results/agame --dataset davis2017 --root DAVIS --out scores

PREDICTIONS holds one folder of PNGs for each sequence, named as in the data set, with
object ids as pixel values. --root holds Annotations/[480p/]SEQUENCE/FRAME.png, and
JPEGImages likewise for the pictures of the report. YouTube-VOS also needs meta.json.
For FBMS, YouTube-Objects and SegTrack v2, datasets/build.py and datasets/export.py make
that layout of the original files.

DIR receives global_results-SET.csv and per-sequence_results-SET.csv as the DAVIS
toolkit writes them, results.json, curves/SEQUENCE.svg and report.html.
"""

# Data set -> the list of sequences that is scored; None = all that are annotated.
DEFAULT_SETS = {
  "davis2016": "2016/val",
  "davis2017": "2017/val",
  "davis2017-unsupervised": "2017/val",
}
UNSUPERVISED = ("Annotations_unsupervised", "Annotations")

# Option -> the data sets that it means something for.
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
    help=f"whose protocol to follow: {', '.join(protocols.PROTOCOLS)}",
  )
  parser.add_argument(
    "--root", type=path, required=True, metavar="DIR", help="folder of the data set"
  )
  parser.add_argument(
    "--out", type=path, metavar="DIR", help="where to write tables and the report"
  )
  parser.add_argument(
    "--set",
    metavar="LIST",
    dest="subset",
    help="a list in ImageSets such as 2017/val, or a text file of sequences "
    "(default: the validation set for DAVIS, all sequences elsewhere)",
  )
  parser.add_argument(
    "--match",
    choices=["first-frame"],
    help="pair predicted instances with objects by the first frame (RVOS, zero-shot)",
  )
  parser.add_argument(
    "--train-meta",
    type=path,
    metavar="FILE",
    help="YouTube-VOS: meta.json of the training set, which tells what is seen "
    "(default: train/meta.json beside --root)",
  )
  parser.add_argument(
    "--count-first-frames",
    action="store_true",
    help="YouTube-VOS: also score each object's first annotated frame",
  )
  parser.add_argument(
    "--no-stability", action="store_true", help="davis2016: leave out T, the slow part"
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
    help="processes (default: %(default)s, one for each core)",
  )


def run(args: argparse.Namespace) -> None:
  """Scores, prints a table, and writes all files once everything is known.

  Raises:
    ValueError: an argument or a prediction is not usable; all problems are listed on
      standard error first.
  """
  if args.workers < 1:
    raise ValueError(f"--workers is {args.workers}; it must be 1 or more.")
  for option, known in OPTIONS.items():
    if vars(args)[option[2:].replace("-", "_")] and args.dataset not in known:
      raise ValueError(
        f"{option} means nothing for {args.dataset}, only for {', '.join(known)}. "
        "Leave it out."
      )
  if args.out is not None:
    _check_writable(args.out)
  unsupervised = args.dataset.endswith("unsupervised")
  subset = args.subset or DEFAULT_SETS.get(args.dataset)
  sequences = mask_folders.find(
    args.predictions,
    args.root,
    subset=subset,
    annotations=UNSUPERVISED if unsupervised else ("Annotations",),
  )
  try:
    with tqdm(total=len(sequences), unit="sequence", leave=False) as bar:

      def done(name: str) -> None:
        bar.set_description(name)
        bar.update()

      result = evaluate.evaluate_files(
        args.dataset,
        sequences,
        options=_options(args),
        match_first=args.match is not None,
        workers=min(args.workers, len(sequences)),
        progress=done,
      )
  except evaluate.UnusablePredictionsError as error:
    print(*error.problems, sep="\n", file=sys.stderr)
    raise ValueError(
      f"nothing was scored: {len(error.problems)} problem(s), listed above. Put them "
      "right and run the command again."
    ) from None
  print(result.table())
  if args.by_instances:
    print(f"\n{result.instances_table()}")
  print(f"\n{result.protocol}: {result.rule}; {len(sequences)} sequences, in percent.")
  if args.out is not None:
    name = pathlib.Path(subset).stem if subset else "all"
    write(args.out, result, sequences, name=name, args=args)
    print(f"written: {args.out / 'report.html'}")


def write(
  out: pathlib.Path,
  result: Result,
  sequences: list[mask_folders.MaskFiles],
  *,
  name: str,
  args: argparse.Namespace,
) -> None:
  """Writes tables, curves and the report, each file whole or not at all."""
  page = report.report_html(
    result,
    sequences,
    predictions=args.predictions.name,
    root=args.root,
    match_first=args.match is not None,
  )
  outputs = {
    f"global_results-{name}.csv": result.global_csv(),
    f"per-sequence_results-{name}.csv": result.rows_csv(),
    "results.json": result.to_json(),
    "report.html": page,
  }
  for sequence in sequences:
    rows = [row for row in result.rows if row.sequence == sequence.name]
    if rows:
      outputs[f"curves/{sequence.name}.svg"] = report.curves_svg(rows)
  for file, text in outputs.items():
    (out / file).parent.mkdir(parents=True, exist_ok=True)
    files.write_bytes(out / file, text.encode())


def _check_writable(out: pathlib.Path) -> None:
  """Refuses a folder that could not be made, before hours of work and not after."""
  existing = next(path for path in (out, *out.absolute().parents) if path.exists())
  if not existing.is_dir() or not os.access(existing, os.W_OK):
    raise ValueError(
      f"--out {out}: {existing} is no folder that you may write to. Choose another."
    )


def _options(args: argparse.Namespace) -> dict[str, Any]:
  """What the chosen protocol takes beside the files."""
  if args.dataset == "davis2016":
    return {"stability": not args.no_stability}
  if args.dataset != "youtube-vos":
    return {}
  meta = args.train_meta or args.root.parent / "train" / "meta.json"
  if not meta.is_file():
    raise ValueError(
      f"{meta}: not there. It tells which categories are seen in training: give "
      "--train-meta FILE, the meta.json of the YouTube-VOS training set."
    )
  return {
    "seen": mask_folders.seen_categories(meta),
    "skip_first": not args.count_first_frames,
  }
