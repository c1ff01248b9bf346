"""What a segmented video is written as: several kinds of files at once."""

from vosjax.media.outputs.frame import SegmentedFrame
from vosjax.media.outputs.outputs import (
  KINDS,
  PARTS,
  Outputs,
  check_kinds,
  checkpoints,
  final_files,
  open_outputs,
)

__all__ = [
  "KINDS",
  "PARTS",
  "Outputs",
  "SegmentedFrame",
  "check_kinds",
  "checkpoints",
  "final_files",
  "open_outputs",
]
