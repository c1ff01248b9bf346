"""The output folder of `vosjax segment` and what it was made from, for resuming."""

import argparse
import dataclasses
import io
import json
import os
import pathlib
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import UInt8

from vosjax import files
from vosjax.media import outputs
from vosjax.media.video_frames import VideoFrames

JOB_FILE = "segment.json"
_STATES = "state-{:08d}.safetensors"  # in the hidden folder of the outputs
_FOUND = ".found-{:08d}.npy"  # labels of the frame in which an object was found

# Input -> message, where {} is the other job's value
_DIFFERENCES = {
  "video": "its video was {}",
  "video_changed": "the video has changed since",
  "frames": "the video had {} frames",
  "mask": "--mask was {}",
  "mask_changed": "the mask has changed since",
  "checkpoint": "--checkpoint was {}",
  "checkpoint_changed": "the checkpoint has changed since",
  "start": "--start was {}",
  "end": "--end was {}",
  "every": "--every was {}",
  "direction": "--direction was {}",
  "colors": "--colors was {}",
  "max_size": "--max-size was {}",
  "dtype": "--dtype was {}",
  "save": "--save was {}",
  "references": "--references was {}",
  "reference_policy": "--reference-policy was {}",
  "fusion": "--fusion was {}",
  "seed": "--seed was {}",
  "crf": "--crf was {}",
}
# Inputs that are not mentioned if another one differs as well, whose message says more.
_IMPLIED_BY = {
  "video_changed": ("video",),
  "frames": ("video", "start", "end", "every"),
  "mask_changed": ("mask",),
  "checkpoint_changed": ("checkpoint",),
}
# Options whose values are inputs as they are.
_OPTIONS = (
  *("start", "end", "every", "direction", "colors", "max_size", "dtype", "references"),
  *("reference_policy", "fusion", "seed", "crf"),
)


@dataclasses.dataclass(frozen=True)
class Job:
  """The inputs and options that the results in a folder are made from.

  A folder holds a single job: results of different inputs or options are never mixed.

  Attributes:
    inputs: paths, stamps of the files and options, as JOB_FILE stores them.
    kinds: of results, see `outputs.KINDS`.
  """

  inputs: dict[str, Any]
  kinds: tuple[str, ...]

  @classmethod
  def from_arguments(
    cls,
    args: argparse.Namespace,
    video: VideoFrames,
    masks: Sequence[pathlib.Path],
    checkpoint: pathlib.Path,
    kinds: tuple[str, ...],
  ) -> "Job":
    """The job that the command line asks for.

    Args:
      args: of the command.
      video: the frames to segment.
      masks: files or folders of masks.
      checkpoint: of the model.
      kinds: of results.
    """
    return cls(
      {
        "video": str(pathlib.Path(video.name).resolve()),
        "video_changed": _stamp(video.files),
        "frames": len(video),
        "mask": ", ".join(str(path.resolve()) for path in masks) or None,
        "mask_changed": _stamp(masks),
        "checkpoint": str(checkpoint.resolve()),
        "checkpoint_changed": _stamp([checkpoint]),
        "save": ",".join(kinds),
        **{name: getattr(args, name) for name in _OPTIONS},
      },
      kinds,
    )

  def check_folder(self, out: pathlib.Path) -> None:
    """Refuses a folder for results unless it is new or holds results of this job.

    Raises:
      ValueError: the folder holds something else.
    """
    if not out.exists() or (out.is_dir() and files.holds_nothing(out)):
      return
    internal = {JOB_FILE, outputs.PARTS, *(path.name for path in _found_files(out))}
    if out.is_dir() and internal >= set(os.listdir(out)):
      return  # a job without results may be replaced
    record = _read_record(out)
    if record is None:
      raise ValueError(
        f"--out {out}: exists and was not written by `vosjax segment`. Choose a new "
        "folder."
      )
    found = record["inputs"]
    if found != self.inputs:
      raise ValueError(
        f"--out {out}: holds results of another job: {self._differences(found)}. "
        "Choose a new folder, or delete this one."
      )

  def _differences(self, found: Mapping[str, Any]) -> str:
    """How the inputs of another job differ, in words."""
    differing = [key for key in self.inputs if found.get(key) != self.inputs[key]]
    sentences = []
    for key in differing:
      if set(_IMPLIED_BY.get(key, ())) & set(differing):
        continue
      value = found.get(key)
      if value is None or isinstance(value, bool):
        value = "given" if value else "not given"
      sentences.append(_DIFFERENCES[key].format(value))
    return ", ".join(sentences)

  def is_finished(self, out: pathlib.Path) -> bool:
    """Whether a folder holds all results of this very job."""
    record = _read_record(out)
    return (
      record is not None
      and record["finished"] is True
      and record["inputs"] == self.inputs
      and all((out / name).exists() for name in outputs.final_files(self.kinds))
      and len(list(out.glob("*.png"))) >= self.inputs["frames"]
    )

  def begin(self, out: pathlib.Path) -> int:
    """Creates the folder, or prints what is resumed in it.

    Returns:
      Number of the frame with which the job begins, or goes on.
    """
    out.mkdir(parents=True, exist_ok=True)
    for draft in out.glob(".*.part*"):  # left by a run that was killed
      draft.unlink()
    num_masks = len(list(out.glob("*.png")))
    self._write(out, finished=False)
    if not num_masks:
      return 0
    total = self.inputs["frames"]
    if not (out / outputs.PARTS).exists():
      print(f"{out}: all frames are segmented again, because some results are missing.")
      return 0
    known = [n for n in outputs.checkpoints(out) if state_file(out, n).exists()]
    number = max(known, default=0)
    print(
      f"{out}: resuming at frame {number} of {total}."
      if number
      else f"{out}: resuming; all frames are segmented again, because no state was "
      "saved before the job was stopped."
    )
    return number

  def keep_found(
    self, out: pathlib.Path, number: int, labels: UInt8[np.ndarray, "h w"]
  ) -> None:
    """Keeps the labels of the frame in which an object was found, before any result."""
    out.mkdir(parents=True, exist_ok=True)
    for path in _found_files(out):  # of a job that this one replaces
      path.unlink()
    self._write(out, finished=False)
    buffer = io.BytesIO()
    np.save(buffer, labels)
    files.write_bytes(out / _FOUND.format(number), buffer.getvalue())

  def read_found(
    self, out: pathlib.Path
  ) -> tuple[int, UInt8[np.ndarray, "h w"]] | None:
    """What `keep_found` kept for this very job; None if it kept nothing."""
    record = _read_record(out)
    if record is None or record["inputs"] != self.inputs:
      return None
    for path in _found_files(out):
      return int(path.stem.rpartition("-")[2]), np.load(path, allow_pickle=False)
    return None

  def finish(self, out: pathlib.Path) -> None:
    """Marks the job as finished."""
    self._write(out, finished=True)
    for path in _found_files(out):
      path.unlink()

  def _write(self, out: pathlib.Path, *, finished: bool) -> None:
    content = {"finished": finished, "inputs": self.inputs}
    files.write_json(out / JOB_FILE, content)


def _read_record(out: pathlib.Path) -> dict[str, Any] | None:
  """What JOB_FILE holds; None if there is none, or it is damaged."""
  try:
    record = json.loads((out / JOB_FILE).read_bytes())
    known = isinstance(record["inputs"], dict) and "finished" in record
  except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
    return None
  return record if known else None


def _found_files(out: pathlib.Path) -> list[pathlib.Path]:
  return list(out.glob(_FOUND.replace("{:08d}", "*")))


def state_file(out: pathlib.Path, frame: int) -> pathlib.Path:
  """Where the state of the network before a frame is kept."""
  return out / outputs.PARTS / _STATES.format(frame)


def forget_states(out: pathlib.Path, before: int) -> None:
  """Deletes the states before a frame."""
  for path in (out / outputs.PARTS).glob(_STATES.replace("{:08d}", "*")):
    if path < state_file(out, before):
      path.unlink()


def _stamp(paths: Iterable[pathlib.Path]) -> int:
  """A number that changes with files: with names, sizes or modification times."""
  checksum = 0
  for path in paths:
    if not path.exists():
      continue
    inside = sorted(path.rglob("*")) if path.is_dir() else ()
    for item in (path, *inside):
      found = item.stat()
      text = f"{item.name} {found.st_size} {found.st_mtime_ns}\n"
      checksum = zlib.crc32(text.encode(errors="surrogateescape"), checksum)
  return checksum
