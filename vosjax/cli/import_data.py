"""`vosjax import-data`: your own videos and masks as a data set to train on."""

import argparse
import os
import pathlib
import sys
from collections.abc import Sequence

from tqdm import tqdm

from vosjax.cli import import_job
from vosjax.data import survey
from vosjax.data.formats import detect

EXAMPLE = """
examples:
  vosjax import-data my_videos --out data/mine          JPEGImages and Annotations
  vosjax import-data YouTubeVOS/train --out data/ytv
  vosjax import-data instances.json --images frames --out data/mine
  python -m vosjax.main --config=configs/agame.py:imported --config.data.root=data/mine

SOURCE is a folder in the layout of DAVIS (JPEGImages/480p/VIDEO/*.jpg, Annotations/
480p/VIDEO/*.png) or of YouTube-VOS (the same without 480p), or a COCO-style JSON:
videos as in YouTube-VIS or images, with masks as RLE or polygons. Every picture is
checked first; whatever is wrong is listed at once, and nothing is made of it.

DIR receives the layout of DAVIS 2017 (480p is but a name there: sizes stay as they
are), report.txt and contact_sheet.jpg. Frames without a label map are reported and left
out. Frames and label maps keep their bytes; where the disk allows, they are hard links
and take no space. The same command goes on with an import that was stopped.
"""


def configure(parser: argparse.ArgumentParser) -> None:
  """Adds the arguments of `vosjax import-data`."""
  parser.epilog = EXAMPLE
  path = pathlib.Path
  parser.add_argument("source", type=path, metavar="SOURCE", help="folder or .json")
  parser.add_argument(
    "--out", type=path, required=True, metavar="DIR", help="folder to make"
  )
  parser.add_argument(
    "--images",
    type=path,
    metavar="DIR",
    help="JSON: the folder that its file names are relative to",
  )
  parser.add_argument(
    "--val",
    metavar="FILE|N",
    help="videos to keep for validation: a text file of names, or how many (default: "
    "the lists of SOURCE if it has both, otherwise a tenth)",
  )
  parser.add_argument(
    "--workers",
    type=int,
    default=os.cpu_count() or 1,
    metavar="N",
    help="threads that check (default: %(default)s, one for each core)",
  )


def run(args: argparse.Namespace) -> None:
  """Checks, writes, and says what there is.

  Raises:
    ValueError: the data or `--out` are not usable; all problems of the data are listed
      on standard error first.
  """
  if args.workers < 1:
    raise ValueError(f"--workers is {args.workers}; it must be 1 or more.")
  data = detect.find_videos(args.source, args.images)
  job = import_job.Job(args.source, args.images, args.val, args.out)
  if job.is_done(data):
    print(f"{args.out}: already imported from {args.source}; nothing is left to do.")
    return
  lists = import_job.split(data, args.val) if data.videos else {}
  found = _check(job, data, args.workers)
  _write(job, data)
  job.finish(data, found, lists)
  print(f"{data.layout} layout, {args.source}\n\n{survey.table(found)}\n")
  for key, names in lists.items():
    print(f"{key}: {len(names)} video(s), {_few(names)}")
  if data.unlisted:
    print(f"left out, as no list has them: {_few(data.unlisted)}")
  print(
    f"written: {args.out}, with report.txt and contact_sheet.jpg. To train on it:\n"
    "  python -m vosjax.main --config=configs/agame.py:imported "
    f"--config.data.root={args.out}"
  )


def _check(
  job: import_job.Job, data: detect.OwnData, workers: int
) -> list[survey.VideoSurvey]:
  """Surveys of all videos; ValueError once all problems are listed."""
  frames = sum(map(len, data.videos))
  with tqdm(total=frames, unit="frame", desc="checking", leave=False) as bar:
    found = job.check(data, workers, bar.update)
  problems = [*data.problems, *(line for s in found for line in s.problems)]
  if problems:
    print(*problems, sep="\n", file=sys.stderr)
    raise ValueError(
      f"nothing was imported: {len(problems)} problem(s), listed above. Put them "
      "right and run the command again; what was sound is not checked twice."
    )
  if not found:
    raise ValueError("nothing was imported: there is no video.")
  return found


def _write(job: import_job.Job, data: detect.OwnData) -> None:
  with tqdm(data.videos, unit="video", desc="writing", leave=False) as bar:
    for video in bar:
      job.write(video)


def _few(names: Sequence[str]) -> str:
  return ", ".join([*names[:5], "..."] if len(names) > 5 else names)
