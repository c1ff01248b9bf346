"""`vosjax import-data`: makes a training dataset from your own videos and masks."""

import argparse
import pathlib
import sys
from collections.abc import Sequence

from tqdm import tqdm

from vosjax import cores
from vosjax.cli import import_job
from vosjax.cli.problems import print_problems
from vosjax.data import label_agreement, survey
from vosjax.data.formats.detect import UserData, find_user_data

EXAMPLE = """
examples:
  vosjax import-data my_videos --out data/mine          frames and masks in folders
  vosjax import-data cvat_export --out data/mine        what a tool exported
  vosjax import-data instances.json --images frames --out data/mine
  vosjax import-data annotations.xml --images video.mp4 --out data/mine
  vosjax train agame:imported --config.data.root=data/mine

SOURCE is one of these, recognised by what it contains:
  DAVIS         JPEGImages/480p/VIDEO/*.jpg and Annotations/480p/VIDEO/*.png
  YouTube-VOS   the same without 480p; also frames/ and masks/, or without VIDEO
  video files   videos/VIDEO.mp4 and masks/VIDEO/00000.png
  COCO          a JSON file: videos as in YouTube-VIS, images with track ids (as CVAT
                writes them), or single images; masks as RLE or polygons
  CVAT          the folder of "Segmentation mask 1.1", or "CVAT for video 1.1" (XML)
  labelme       a folder with a JSON file beside each frame
  SA-V          *.mp4 with *_manual.json or *_auto.json
  MOTS          VIDEO/gt/gt.txt with VIDEO/img1, or instances_txt with image_02
Every image is checked first. If anything is wrong, all problems are listed and nothing
is imported.

DIR is written in the layout of DAVIS 2017 (480p is only a folder name: images are not
resized), with report.txt and contact_sheet.jpg. Frames without a label map are reported
and left out. JPEG and PNG files are not re-encoded; where the file system allows, they
are hard links and take no space. Frames of video files are stored as JPEG. To resume an
interrupted import, run the same command again.
"""


def configure(parser: argparse.ArgumentParser) -> None:
  """Adds the arguments of `vosjax import-data`."""
  parser.epilog = EXAMPLE
  path = pathlib.Path
  parser.add_argument(
    "source", type=path, metavar="SOURCE", help="folder, JSON or XML file"
  )
  parser.add_argument(
    "--out", type=path, required=True, metavar="DIR", help="folder to create"
  )
  parser.add_argument(
    "--images",
    type=path,
    metavar="DIR|FILE",
    help="if SOURCE is a JSON or XML file: the folder that its file names are relative "
    "to, or the video file whose frames they number",
  )
  parser.add_argument(
    "--val",
    metavar="FILE|N",
    help="videos to keep for validation: a text file of names, or their number "
    "(default: the train and val lists of SOURCE if it has both, otherwise a tenth)",
  )
  parser.add_argument(
    "--workers",
    type=int,
    default=cores.available(),
    metavar="N",
    help="threads that check images (default: %(default)s, one per core)",
  )


def run(args: argparse.Namespace) -> None:
  """Checks the data, writes the dataset and prints a summary.

  Raises:
    ValueError: the data or `--out` cannot be used; all problems of the data are listed
      on standard error first.
  """
  if args.workers < 1:
    raise ValueError(f"--workers is {args.workers}; it must be 1 or more.")
  if args.out.name in ("", ".."):
    raise ValueError(
      f"--out {args.out}: names no new folder. Give the name of a folder to create, "
      "such as data/mine."
    )
  job = import_job.Job(args.source, args.images, args.val, args.out)
  data = find_user_data(args.source, args.images, job.extracted)
  job.check_folders(data)
  if job.is_done():
    print(f"{args.out}: already imported from {args.source}; nothing to do.")
    return
  with job.claimed():
    _import(args, job, data)


def _import(args: argparse.Namespace, job: import_job.Job, data: UserData) -> None:
  """Checks the data, writes the dataset and prints a summary."""
  lists = import_job.split(data, args.val) if data.videos else {}
  surveys = _check(job, data, args.workers)
  _write(job, data, surveys)
  job.finish(data, surveys, lists)
  print(f"{data.layout} layout, {args.source}\n\n{survey.table(surveys)}\n")
  for key, names in lists.items():
    count = "1 video" if len(names) == 1 else f"{len(names)} videos"
    print(f"{key}: {count}, {_abbreviate(names)}")
  shared = sorted(set.intersection(*map(set, lists.values())))
  if shared:
    print(
      f"warning: {_abbreviate(shared)}: to train on and to validate on, so that scores "
      "do not tell how well a model segments videos it has not seen.",
      file=sys.stderr,
    )
  for line in (*_readings(surveys), *(f"{note}." for note in data.notes)):
    print(f"warning: {line}", file=sys.stderr)
  if data.unlisted:
    print(f"left out because they are in no list: {_abbreviate(data.unlisted)}")
  print(
    f"written: {args.out}, with report.txt and contact_sheet.jpg. To train on it:\n"
    f"  vosjax train agame:imported --config.data.root={args.out}"
  )


def _check(
  job: import_job.Job, data: UserData, workers: int
) -> list[survey.VideoSurvey]:
  """Surveys all videos; raises a ValueError after listing all problems."""
  _refuse_first_frames_alone(data)
  damaged = _extract(job, data)
  num_frames = sum(map(len, data.videos))
  with tqdm(
    total=num_frames, unit="frame", desc="checking", leave=False, disable=None
  ) as bar:
    surveys = [] if damaged else job.check(data, workers, bar.update)
  problems = [*data.problems, *damaged, *(line for s in surveys for line in s.problems)]
  if problems:
    problems = list(dict.fromkeys(job.name_videos(data, line) for line in problems))
    print_problems(problems)
    raise ValueError(
      f"nothing was imported: {len(problems)} problem(s), listed above. Correct them "
      "and run the command again; videos without problems are not checked twice."
    )
  if not surveys:
    raise ValueError("nothing was imported: there are no videos.")
  return surveys


def _extract(job: import_job.Job, data: UserData) -> list[str]:
  """Decodes the frames of video files; returns what is wrong with them."""
  num_frames = sum(len(part.indices) for part in data.parts.values())
  with tqdm(
    total=num_frames, unit="frame", desc="decoding", leave=False, disable=None
  ) as bar:
    return job.extract(data, bar.update)


def _refuse_first_frames_alone(data: UserData) -> None:
  """Requires a video in which an object can be followed, rather than only given."""
  numbers = [len(video.annotated_frames) for video in data.videos]
  has_others = any(len(video) > 1 for video in data.videos)
  if has_others and numbers and 0 < max(numbers) == 1:
    raise ValueError(
      "nothing was imported: only one frame of each video has a label map, so that "
      "there is nothing to train on and nothing to score. Annotate two or more frames "
      "of a video; to segment the videos with these masks, use vosjax segment."
    )


def _readings(surveys: Sequence[survey.VideoSurvey]) -> list[str]:
  """How label maps were read that do not hold ids, one line per kind."""
  notes: dict[str, list[str]] = {}
  for video in surveys:
    for note, names in video.readings.items():
      notes.setdefault(note, []).extend(f"{video.name}/{name}" for name in names)
  return label_agreement.describe("label map", notes)


def _write(
  job: import_job.Job, data: UserData, surveys: Sequence[survey.VideoSurvey]
) -> None:
  with tqdm(
    data.videos, unit="video", desc="writing", leave=False, disable=None
  ) as bar:
    for video, surveyed in zip(bar, surveys):
      job.write(video, surveyed.readings)


def _abbreviate(names: Sequence[str]) -> str:
  return ", ".join([*names[:5], "..."] if len(names) > 5 else names)
