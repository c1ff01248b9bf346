"""Outputs of one file per frame: masks, objects, soft alpha, probabilities."""

import io
import pathlib

import numpy as np
from PIL import Image

from vosjax import files
from vosjax.media.outputs.frame import SegmentedFrame
from vosjax.media.write import write_labels

_COMPRESSION = 2  # of 9; large RGBA images would otherwise be slower than networks


def write_mask(folder: pathlib.Path, frame: SegmentedFrame) -> None:
  """NAME.png: object ids as a palette PNG."""
  write_labels(folder / f"{frame.name}.png", frame.labels)


def write_objects(folder: pathlib.Path, frame: SegmentedFrame) -> None:
  """objects/ID/NAME.png: one black and white PNG per object of the frame."""
  for object_id in frame.object_ids:
    mask = Image.fromarray(frame.labels == object_id)
    _write(folder / "objects" / str(object_id) / f"{frame.name}.png", mask)


def write_alpha(folder: pathlib.Path, frame: SegmentedFrame) -> None:
  """alpha/NAME.png: the frame as RGBA, transparent outside of the objects."""
  image = np.dstack([frame.image, frame.alpha])
  _write(folder / "alpha" / f"{frame.name}.png", Image.fromarray(image))


def write_probs(folder: pathlib.Path, frame: SegmentedFrame) -> None:
  """probs/ID/NAME.png: probability of each object in 16 bits, 65535 is one."""
  for object_id, probs in zip(frame.object_ids, frame.probs, strict=True):
    image = (probs * 65535).round().astype(np.uint16)
    path = folder / "probs" / str(object_id) / f"{frame.name}.png"
    _write(path, Image.fromarray(image))


def _write(path: pathlib.Path, image: Image.Image) -> None:
  path.parent.mkdir(parents=True, exist_ok=True)
  buffer = io.BytesIO()
  image.save(buffer, "PNG", compress_level=_COMPRESSION)
  files.write_bytes(path, buffer.getvalue())
