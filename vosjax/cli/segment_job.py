"""The output folder of `vosjax segment` and what it was made from, for resuming."""

import argparse
import dataclasses
import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

from vosjax import files
from vosjax.media.read import VideoFrames

JOB_FILE = "segment.json"

# Input -> message, where {} is the other job's value
_DIFFERENCES = {
  "video": "its video was {}",
  "video_changed": "the video has changed since",
  "frames": "the video had {} frames",
  "mask": "--mask was {}",
  "mask_changed": "the mask has changed since",
  "checkpoint": "--checkpoint was {}",
  "checkpoint_changed": "the checkpoint has changed since",
  "references": "--references was {}",
  "reference_policy": "--reference-policy was {}",
  "fusion": "--fusion was {}",
  "seed": "--seed was {}",
  "crf": "--crf was {}",
}
# Inputs that are not mentioned if another one differs as well, whose message says more.
_IMPLIED_BY = {
  "video_changed": "video",
  "frames": "video",
  "mask_changed": "mask",
  "checkpoint_changed": "checkpoint",
}


@dataclasses.dataclass(frozen=True)
class Job:
  """The inputs and options that the results in a folder are made from.

  A folder holds a single job: results of different inputs or options are never mixed.

  Attributes:
    inputs: paths, modification times and options, as JOB_FILE stores them.
  """

  inputs: dict[str, Any]

  @classmethod
  def from_arguments(cls, args: argparse.Namespace, video: VideoFrames) -> "Job":
    """The job that the command line asks for."""
    return cls(
      {
        "video": str(args.video.resolve()),
        "video_changed": max(file.stat().st_mtime_ns for file in video.files),
        "frames": len(video),
        "mask": None if args.mask is None else str(args.mask.resolve()),
        "mask_changed": _last_change(args.mask),
        "checkpoint": str(args.checkpoint.resolve()),
        "checkpoint_changed": _last_change(args.checkpoint),
        "references": args.references,
        "reference_policy": args.reference_policy,
        "fusion": args.fusion,
        "seed": args.seed,
        "crf": args.crf,
      }
    )

  def check_folder(self, out: pathlib.Path) -> None:
    """Refuses a folder for results unless it is new or holds results of this job.

    Raises:
      ValueError: the folder holds something else.
    """
    if not out.exists() or (out.is_dir() and {JOB_FILE} >= set(os.listdir(out))):
      return  # a job without results may be replaced
    try:
      found = json.loads((out / JOB_FILE).read_text())
    except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError):
      raise ValueError(
        f"--out {out}: exists and was not written by `vosjax segment`. Choose a new "
        "folder."
      ) from None
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
      if _IMPLIED_BY.get(key) in differing:
        continue
      value = found.get(key)
      if value is None or isinstance(value, bool):
        value = "given" if value else "not given"
      sentences.append(_DIFFERENCES[key].format(value))
    return ", ".join(sentences)

  def is_finished(self, out: pathlib.Path, last_output: str) -> bool:
    """Whether a folder that `check_folder` accepts holds all results.

    Args:
      out: the folder.
      last_output: name of the file that is written last.
    """
    return (out / last_output).exists()

  def begin(self, out: pathlib.Path) -> None:
    """Creates the folder, or prints what is resumed in it."""
    out.mkdir(parents=True, exist_ok=True)
    for draft in out.glob(".*.part*"):  # left by a run that was killed
      draft.unlink()
    num_masks = len(list(out.glob("*.png")))
    if not num_masks:
      files.write_bytes(out / JOB_FILE, json.dumps(self.inputs, indent=2).encode())
      return
    print(
      f"{out}: resuming, {num_masks} of {self.inputs['frames']} masks are kept; all "
      "frames are segmented again, because the model depends on earlier frames."
    )


def _last_change(path: pathlib.Path | None) -> int | None:
  """Latest modification time of a file, or in a folder, in nanoseconds."""
  if path is None or not path.exists():
    return None
  inside = path.rglob("*") if path.is_dir() else ()
  return max(item.stat().st_mtime_ns for item in (path, *inside))
