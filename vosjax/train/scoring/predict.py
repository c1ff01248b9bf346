"""Masks of a whole data set, for a server that keeps its truth to itself."""

import logging
import pathlib
import shlex
import zlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import tqdm
from ml_collections import ConfigDict

from vosjax.data.formats.davis import DavisFolder
from vosjax.data.formats.youtube_vos import YoutubeVosFolder
from vosjax.data.video import Source
from vosjax.media.write import write_labels
from vosjax.train.recipe import Segment
from vosjax.train.recipes import recipe_of
from vosjax.train.scoring import datasets, trained
from vosjax.train.workdir import open_workdir, same_content

LOG = logging.getLogger("vosjax")

FOLDER, NOTE = "predictions", "predictions.json"
# What of `evaluation` changes no mask; the checkpoint is told apart by its content.
_FREE = ("checkpoint", "num_videos", "compare_references", "num_previews")
_SHOWN = 5


class Known(NamedTuple):
  """What is to be known of a video before it is segmented.

  Attributes:
    name: of the video.
    frames: names of its frames.
    annotations: checksum of what is given of it; None if that is nothing.
  """

  name: str
  frames: tuple[str, ...]
  annotations: int | None


def predict(config: ConfigDict, workdir: str | None) -> None:
  """Segments every video of the data set into WORKDIR/predictions/VIDEO/FRAME.png.

  Videos that are there are not segmented again.

  Raises:
    ValueError: model, videos, annotations or workdir do not fit; says what to do.
  """
  model, variables = trained.load(config, workdir)
  scoring = recipe_of(config).scoring(config, model)
  rule = datasets.rule(config, scoring.task)
  source = datasets.open_source(config)
  videos = [
    Known(video.name, tuple(video.frame_names), _checksum(video.label_files))
    for video in datasets.videos(source)
  ]
  match = scoring.task == "objects" and not _require_annotations(
    videos, one_shot=model.readout.one_shot
  )
  note = _note(config, workdir, videos)
  path, _ = open_workdir(config, workdir)
  same_content(path / NOTE, note, "predictions of something else")
  out = path / FOLDER
  done = [_is_done(out, video) for video in videos]
  LOG.info(
    "predict   %d videos into %s, of which %d are finished and skipped; stopped, it "
    "goes on with --workdir=%s",
    len(videos),
    out,
    sum(done),
    path,
  )
  _write(scoring.segment(model, variables), source, videos, done, out)
  LOG.info(
    "done      %d videos, %d frames in %s. Where the truth is at hand:\n  %s",
    len(videos),
    sum(len(video.frames) for video in videos),
    out,
    _evaluate_command(source, rule, out, match=match),
  )


def _checksum(files: Sequence[Any]) -> int | None:
  """Of the bytes of annotation files, by frame; None if there is none."""
  total = None
  for index, file in enumerate(files):
    if file:
      parts = [file.read_bytes()] if isinstance(file, pathlib.Path) else file
      total = zlib.crc32(b"".join((str(index).encode(), *parts)), total or 0)
  return total


def _require_annotations(videos: list[Known], *, one_shot: bool) -> bool:
  """Whether the videos have annotations of the objects that ids are to stand for.

  Raises:
    ValueError: a part of them has none, or all where these are needed.
  """
  bare = [video.name for video in videos if video.annotations is None]
  if not bare or (len(bare) == len(videos) and not one_shot):
    return not bare
  more = f" and {len(bare) - _SHOWN} more" if bare[_SHOWN:] else ""
  remedy = "Complete them, or list the videos without apart."
  if one_shot:
    remedy = (
      "This model follows objects that it is given: put a mask of each object's "
      "first frame into Annotations, as semi-supervised test sets have it, or take "
      "a zero-shot model."
    )
  raise ValueError(
    f"{len(bare)} of {len(videos)} videos have no annotation: "
    f"{', '.join(bare[:_SHOWN])}{more}. {remedy}"
  )


def _evaluate_command(
  source: Source, rule: str, out: pathlib.Path, *, match: bool
) -> str:
  """The command that scores a folder of predictions.

  Args:
    source: of the videos.
    rule: name of the protocol.
    out: the folder.
    match: instances are still to be matched with objects.
  """
  words = ["vosjax", "evaluate", str(out), "--dataset", rule, "--root"]
  if isinstance(source, YoutubeVosFolder):
    words.append(str(source.folder))
    if pathlib.Path(source.subset).expanduser().is_file():
      words += ["--set", source.subset]
  elif isinstance(source, DavisFolder):
    sets = pathlib.Path(source.root) / "ImageSets"
    listed = source.list_file
    if listed.is_relative_to(sets):
      listed = listed.relative_to(sets).with_suffix("")
    words += [source.root, "--set", str(listed)]
  else:
    words.append("FOLDER_THAT_EXPORT_WROTE")
  return shlex.join(words + ["--match", "first-frame"] * match)


def _note(config, workdir, videos) -> dict[str, Any]:
  """What predictions depend on, beyond the configuration of the run."""
  options = {
    f"evaluation.{key}": value
    for key, value in config.evaluation.to_dict().items()
    if key not in _FREE
  }
  model = trained.fingerprint(trained.folder(config, workdir))
  lengths = {video.name: len(video.frames) for video in videos}
  given = {video.name: video.annotations for video in videos}
  return options | {
    "model (checksum)": model,
    "videos (frames)": lengths,
    "annotations (checksum)": given,
  }


def _is_done(out, video) -> bool:
  return all(path.is_file() for path in _files(out, video))


def _files(out, video) -> Iterator[pathlib.Path]:
  return (out / video.name / f"{name}.png" for name in video.frames)


def _write(
  segment: Segment,
  source: Source,
  videos: list[Known],
  done: list[bool],
  out: pathlib.Path,
) -> None:
  """Segments what is not done; a video that was begun begins anew."""
  total = sum(len(video.frames) for video in videos)
  with tqdm.tqdm(total=total, unit="frame", disable=None) as bar:
    for index, (video, finished) in enumerate(zip(videos, done)):
      bar.set_description(video.name)
      if finished:
        bar.update(len(video.frames))
        continue
      folder = out / video.name
      folder.mkdir(parents=True, exist_ok=True)
      for draft in folder.glob(".*.part*"):  # of a run that was killed
        draft.unlink()
      for path, labels in zip(_files(out, video), segment(source[index]), strict=True):
        write_labels(path, labels)
        bar.update()
