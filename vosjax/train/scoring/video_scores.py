"""Scores of single videos: computed on all devices of all processes, and merged."""

import contextlib
import json
import logging
import pathlib
import shutil
import sys
import threading
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import numpy as np
import tqdm
from jaxtyping import UInt8
from ml_collections import ConfigDict

from vosjax import files, models
from vosjax.data.formats.folders import first_few
from vosjax.data.video import Source, Video
from vosjax.evaluation.evaluate import Outcome, score_video
from vosjax.evaluation.protocols import Protocol
from vosjax.evaluation.results import Row
from vosjax.evaluation.scored_video import ScoredVideo
from vosjax.train import processes, workdir
from vosjax.train.recipe import Scoring, Segment
from vosjax.train.scoring import sharing
from vosjax.types import Variables

LOG = logging.getLogger("vosjax")

Labels = UInt8[np.ndarray, "t h w"]
Videos = Source | Sequence[Video]


class StoppedError(Exception):
  """Scoring was given up, because it was asked to stop."""


class VideoScores(NamedTuple):
  """What one of the contenders reached on one video.

  Attributes:
    outcome: rows, or problems.
    measures: further numbers by name.
  """

  outcome: Outcome
  measures: Mapping[str, float]

  def to_record(self) -> dict[str, Any]:
    """Everything, as JSON represents it."""
    return {
      "rows": [row.to_record() for row in self.outcome.rows],
      "problems": self.outcome.problems,
      "measures": {name: float(value) for name, value in self.measures.items()},
    }

  @classmethod
  def from_record(cls, record: Mapping[str, Any]) -> "VideoScores":
    """The scores that `to_record` represents, equal to the last bit."""
    rows = [Row.from_record(row) for row in record["rows"]]
    return cls(Outcome(rows, record["problems"]), record["measures"])


class Kept:
  """Scores of single videos in a folder, until those of all videos are there.

  An evaluation that was stopped goes on with them, if nothing has changed that they
  depend on.

  Args:
    folder: made for the first scores.
    basis: what all scores depend on, see `basis_of`.
  """

  def __init__(self, folder: pathlib.Path, basis: int):
    self._folder, self._basis = folder, basis

  def read(self, index: int, videos: Videos) -> dict[str, Any] | None:
    """The record of a video; None if there is none of the same model and truth."""
    try:
      content = json.loads(self._path(index).read_bytes())
      known, scores = (content["basis"], content["truth"]), content["scores"]
    except (OSError, ValueError, KeyError, TypeError):
      return None
    return scores if known == (self._basis, _truth_checksum(videos[index])) else None

  def write(self, index: int, video: Video, record: Mapping[str, Any]) -> None:
    """Keeps the record of a video."""
    self._folder.mkdir(parents=True, exist_ok=True)
    truth = _truth_checksum(video)
    content = {"basis": self._basis, "truth": truth, "scores": record}
    files.write_json(self._path(index), content)

  def remove(self) -> None:
    """Deletes all of them."""
    shutil.rmtree(self._folder, ignore_errors=True)

  def _path(self, index: int) -> pathlib.Path:
    return self._folder / f"{index:06d}.json"


def basis_of(config: ConfigDict, model: nn.Module, *variables: Variables) -> int:
  """A number that changes with anything that scores depend on, except for the videos.

  Args:
    config: of the run.
    model: that is scored.
    *variables: of the model and of what it is compared with.
  """
  fields = models.fields_of(model)
  version = sys.modules["vosjax"].__version__
  known = [version, type(model).__name__, fields, workdir.plain(config)]
  checksum = zlib.crc32(json.dumps(known, default=str, sort_keys=True).encode())
  for path, leaf in jax.tree_util.tree_leaves_with_path(variables):
    checksum = zlib.crc32(jax.tree_util.keystr(path).encode(), checksum)
    checksum = zlib.crc32(np.asarray(leaf).tobytes(), checksum)
  return checksum


def score_videos(
  videos: Videos,
  count: int,
  protocol: Protocol,
  scoring: Scoring,
  make_contenders: Callable[[], Mapping[str, Segment]],
  *,
  show: Callable[[int, Labels], None],
  kept: Kept | None = None,
  is_stopped: Callable[[], bool] = lambda: False,
) -> list[dict[str, VideoScores]]:
  """Scores the first videos; processes and their devices share them.

  The result is the same for any number of them. All processes must call it together.
  Videos whose annotation cannot be scored are left out, with a warning.

  Args:
    videos: to choose from.
    count: number of videos to score.
    protocol: how they are scored.
    scoring: has further measures.
    make_contenders: makes what is scored, by name; called on each device.
    show: called with the number of a video and the label maps that the first contender
      predicts, in the process that scores it.
    kept: where scores are kept until all of them are there.
    is_stopped: asked before the first frame and after every frame whether this process
      gives up.

  Returns:
    Scores of each video by the contender's name, in all processes.

  Raises:
    StoppedError: a process gave up; raised in all of them.
    ValueError: there are no videos that can be scored.
  """
  if not count:
    raise ValueError("there is nothing to score: the dataset has no videos.")
  found: dict[int, dict[str, Any] | str] = {}  # records, or why there is none
  if kept is not None and processes.is_first():
    records = ((index, kept.read(index, videos)) for index in range(count))
    found = {index: record for index, record in records if record is not None}
  done = set(processes.from_first(list(found)))
  if done:
    LOG.info("resuming  %d of %d videos are scored already", len(done), count)
  to_do = [index for index in range(count) if index not in done]

  def score(
    contenders: Mapping[str, Segment], index: int, stopped: threading.Event
  ) -> None:
    video, record = videos[index], {}
    truth = read_truth(video)
    if reason := unscorable(protocol, truth):
      found[index] = reason
      bar.update()
      return
    for number, (name, segment) in enumerate(contenders.items()):
      predicted = segment_video(
        segment, video, lambda: stopped.is_set() or is_stopped()
      )
      if is_stopped():
        raise StoppedError
      if stopped.is_set():
        return
      scored = scored_video(predicted, video, truth)
      outcome = score_video(protocol, scored)
      record[name] = VideoScores(outcome, scoring.measures(scored)).to_record()
      if number == 0:
        show(index, predicted)
    if kept is not None and not any(scores["problems"] for scores in record.values()):
      kept.write(index, video, record)
    found[index] = record
    bar.update()

  mine = [] if is_stopped() else sharing.share_of_process(to_do)
  with (
    tqdm.tqdm(total=len(mine), desc="score", unit="video", disable=None) as bar,
    contextlib.suppress(StoppedError),  # others wait for what this process has
  ):
    sharing.run_on_devices(make_contenders, score, mine)
  merged: dict[int, dict[str, Any] | str] = {}
  for part in processes.gather([[index, found[index]] for index in found]):
    merged |= dict(part)
  if len(merged) < count:
    raise StoppedError
  scores, left_out = [], []
  for index in range(count):
    record = merged[index]
    if isinstance(record, str):
      left_out.append(f"{videos[index].name} ({record})")
      continue
    scores.append(
      {name: VideoScores.from_record(value) for name, value in record.items()}
    )
  if not scores:
    raise ValueError(
      f"none of the {count} video(s) can be scored: {first_few(left_out)}. To write "
      "predictions alone, use --config.mode=predict."
    )
  if left_out:
    LOG.warning("warning: not scored: %s", first_few(left_out))
  return scores


def segment_video(
  segment: Segment, video: Video, is_stopped: Callable[[], bool] = lambda: False
) -> Labels:
  """The label maps of a whole video, or of its first frames if it is stopped."""
  predicted = []
  for labels in segment(video):
    predicted.append(labels.astype(np.uint8))
    if is_stopped():
      break
  return np.stack(predicted)


class Truth(NamedTuple):
  """The annotation of a video.

  Attributes:
    frames: indices of the annotated frames.
    labels: of these frames; without any, an array without frames.
  """

  frames: tuple[int, ...]
  labels: Labels


def read_truth(video: Video) -> Truth:
  """The annotation of a video."""
  found = {
    t: labels for t in range(len(video)) if (labels := video.labels(t)) is not None
  }
  empty = np.zeros((0, *video.size), np.uint8)
  return Truth(tuple(found), np.stack(list(found.values())) if found else empty)


def unscorable(protocol: Protocol, truth: Truth) -> str:
  """Why a video cannot be scored, whatever is predicted; "" if it can."""
  return protocol.unscorable(truth.labels) if truth.frames else "no annotated frame"


def scored_video(predicted: Labels, video: Video, truth: Truth) -> ScoredVideo:
  """What a protocol sees of a video: the prediction and truth of annotated frames."""
  return ScoredVideo(
    video.name,
    predicted[list(truth.frames)],
    truth.labels,
    tuple(video.frame_names[t] for t in truth.frames),
    video.categories,
  )


def _truth_checksum(video: Video) -> int:
  """A number that changes with names and annotations of a video."""
  names = [video.name, *video.frame_names]
  checksum = zlib.crc32(json.dumps(names).encode())
  for t in range(len(video)):
    labels = video.labels(t)
    found = b"" if labels is None else labels.tobytes()
    checksum = zlib.crc32(found, zlib.crc32(str(t).encode(), checksum))
  return checksum
