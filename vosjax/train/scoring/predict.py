"""Writes masks of a whole dataset, for a server that keeps the truth."""

import functools
import logging
import pathlib
import shlex
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import tqdm
from ml_collections import ConfigDict

from vosjax.data.formats.davis import DavisFolder
from vosjax.data.formats.youtube_vos import YoutubeVosFolder
from vosjax.data.video import Source
from vosjax.media.write import write_labels
from vosjax.train import processes
from vosjax.train.recipe import Scoring, Segment
from vosjax.train.scoring import datasets, sharing, trained
from vosjax.train.workdir import open_workdir, record_or_compare
from vosjax.types import Variables

LOG = logging.getLogger("vosjax")

FOLDER, RECORD = "predictions", "predictions.json"
# Keys of `evaluation` that affect no mask. Checkpoints are compared by content.
_IRRELEVANT = ("checkpoint", "num_videos", "compare_references", "num_previews")
_MAX_LISTED = 5


class VideoInfo(NamedTuple):
  """What is known about a video before it is segmented.

  Attributes:
    name: of the video.
    frames: names of its frames.
    annotations: checksum of its annotations; None if it has none.
  """

  name: str
  frames: tuple[str, ...]
  annotations: int | None


def write_predictions(
  config: ConfigDict,
  workdir: str | None,
  scoring: Scoring,
  model: nn.Module,
  variables: Variables,
) -> None:
  """Segments every video of the dataset into WORKDIR/predictions/VIDEO/FRAME.png.

  Videos whose masks are complete are skipped. Several processes share the videos, and
  each its videos over its devices; masks are the same for any number of them.

  Args:
    config: of the run.
    workdir: None makes a new folder below runs/.
    scoring: how the model segments videos, and what its ids mean.
    model: a trained model.
    variables: of the model.

  Raises:
    ValueError: model, videos, annotations or workdir do not fit; says what to do.
  """
  protocol = datasets.protocol_name(config, scoring.task)
  source = datasets.load_unscored(config)
  stored: Iterable[Any] = source  # in files or records, hence with label files
  videos = [
    VideoInfo(video.name, tuple(video.frame_names), _checksum(video.label_files))
    for video in stored
  ]
  unmatched = False  # proposals that are scored as objects still have to be matched
  if scoring.task == "objects":
    unmatched = not _require_annotations(videos, one_shot=model.readout.one_shot)
  record = _record(config, workdir, videos)
  path, _ = open_workdir(config, workdir)
  if not processes.is_first():
    processes.barrier("recorded")
  record_or_compare(path / RECORD, record, "predictions of something else")
  if processes.is_first():
    processes.barrier("recorded")
  out = path / FOLDER
  done = processes.from_first([_is_done(out, video) for video in videos])
  LOG.info(
    "predict   %d videos into %s; %d of them are finished and skipped. To resume after "
    "an interruption, use --workdir=%s",
    len(videos),
    out,
    sum(done),
    path,
  )
  make_segment = functools.partial(scoring.segment, model, variables)
  _write(make_segment, source, videos, done, out)
  processes.barrier("predicted")
  LOG.info(
    "done      %d videos, %d frames in %s. If you have the truth, score them with\n"
    "  %s",
    len(videos),
    sum(len(video.frames) for video in videos),
    out,
    _evaluate_command(source, protocol, out, match=unmatched),
  )


def _checksum(files: Sequence[Any]) -> int | None:
  """Checksum of annotation files and their frame numbers; None if there are none."""
  total = None
  for index, file in enumerate(files):
    if file:
      parts = [file.read_bytes()] if isinstance(file, pathlib.Path) else file
      total = zlib.crc32(b"".join((str(index).encode(), *parts)), total or 0)
  return total


def _require_annotations(videos: Sequence[VideoInfo], *, one_shot: bool) -> bool:
  """Whether all videos are annotated with the objects that ids stand for.

  Raises:
    ValueError: some videos lack annotations, or all of them do and the model needs
      them.
  """
  without = [video.name for video in videos if video.annotations is None]
  if not without or (len(without) == len(videos) and not one_shot):
    return not without
  more = f" and {len(without) - _MAX_LISTED} more" if without[_MAX_LISTED:] else ""
  remedy = "Complete them, or list the videos without annotations separately."
  if one_shot:
    remedy = (
      "This model follows given objects: put a mask of each object's first frame into "
      "Annotations, as semi-supervised test sets have it, or use a zero-shot model."
    )
  raise ValueError(
    f"{len(without)} of {len(videos)} videos have no annotation: "
    f"{', '.join(without[:_MAX_LISTED])}{more}. {remedy}"
  )


def _evaluate_command(
  source: Source, protocol: str, out: pathlib.Path, *, match: bool
) -> str:
  """The command that scores a folder of predictions.

  Args:
    source: the videos.
    protocol: name of the protocol.
    out: the folder.
    match: instances still have to be matched with objects.
  """
  words = ["vosjax", "evaluate", str(out), "--dataset", protocol, "--root"]
  if isinstance(source, YoutubeVosFolder):
    words.append(str(source.folder))
    if pathlib.Path(source.subset).expanduser().is_file():
      words += ["--set", source.subset]
  elif isinstance(source, DavisFolder):
    lists = pathlib.Path(source.root) / "ImageSets"
    listed = source.list_file
    if listed.is_relative_to(lists):
      listed = listed.relative_to(lists).with_suffix("")
    words += [source.root, "--set", str(listed)]
  else:
    words.append("FOLDER_THAT_EXPORT_WROTE")
  return shlex.join(words + ["--match", "first-frame"] * match)


def _record(
  config: ConfigDict, workdir: str | None, videos: Sequence[VideoInfo]
) -> dict[str, Any]:
  """What predictions depend on, besides the configuration of the run."""
  options = {
    f"evaluation.{key}": value
    for key, value in config.evaluation.to_dict().items()
    if key not in _IRRELEVANT
  }
  model = trained.fingerprint(trained.locate(config, workdir))
  return options | {
    "model (checksum)": model,
    "videos (frames)": {video.name: len(video.frames) for video in videos},
    "annotations (checksum)": {video.name: video.annotations for video in videos},
  }


def _is_done(out: pathlib.Path, video: VideoInfo) -> bool:
  return all(path.is_file() for path in _files(out, video))


def _files(out: pathlib.Path, video: VideoInfo) -> Iterator[pathlib.Path]:
  return (out / video.name / f"{name}.png" for name in video.frames)


def _write(
  make_segment: Callable[[], Segment],
  source: Source,
  videos: Sequence[VideoInfo],
  done: Sequence[bool],
  out: pathlib.Path,
) -> None:
  """Segments this process's share of the videos that are not done.

  Incomplete videos start from the beginning.
  """
  to_do = [index for index, is_done in enumerate(done) if not is_done]
  mine = sharing.share_of_process(to_do)
  total = sum(len(videos[index].frames) for index in mine)

  def write(segment: Segment, index: int, stopped: threading.Event) -> None:
    video = videos[index]
    bar.set_description(video.name)
    folder = out / video.name
    folder.mkdir(parents=True, exist_ok=True)
    for draft in folder.glob(".*.part*"):  # of a process that was killed
      draft.unlink()
    for path, labels in zip(_files(out, video), segment(source[index]), strict=True):
      if stopped.is_set():
        return
      write_labels(path, labels)
      bar.update()

  with tqdm.tqdm(total=total, unit="frame", disable=None) as bar:
    sharing.run_on_devices(make_segment, write, mine)
