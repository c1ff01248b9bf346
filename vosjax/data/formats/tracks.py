"""Builds videos from what annotation tools write: objects tracked over frames."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool

from vosjax.data.formats.coco import MAX_OBJECTS, CocoVideo, Instance
from vosjax.labels import VOID


@dataclasses.dataclass(frozen=True)
class Shape:
  """What a tool says about one object, or a part of it, in one frame.

  Attributes:
    track: identifies the object within its video; None for pixels to ignore.
    segmentation: RLE or polygons as COCO has them.
    category: of the object; "" if unknown.
  """

  track: Any
  segmentation: Any
  category: str = ""


def track_video(
  name: str,
  frame_files: Sequence[Path],
  shapes: Sequence[Sequence[Shape] | None],
  size: tuple[int, int],
  origin: str,
) -> CocoVideo:
  """A video whose objects are numbered from 1 in the order in which they appear.

  Args:
    name: of the video.
    frame_files: in temporal order.
    shapes: of each frame; None where a frame is not annotated.
    size: (height, width).
    origin: the annotation file, for error messages.

  Raises:
    ValueError: there are more objects than a label map can hold.
  """
  ids: dict[Any, int] = {None: VOID}
  categories: dict[int, str] = {}
  for frame in shapes:
    for shape in frame or ():
      i = ids.setdefault(shape.track, len(ids))
      if shape.category and i != VOID:
        categories.setdefault(i, shape.category)
  if len(ids) - 1 > MAX_OBJECTS:
    raise ValueError(
      f"{origin}: video {name} has {len(ids) - 1} objects, but a label map can hold at "
      f"most {MAX_OBJECTS}. Split the video."
    )
  return CocoVideo(
    name=name,
    frame_files=tuple(frame_files),
    instances=tuple(
      None
      if frame is None
      else tuple(Instance(ids[s.track], s.segmentation) for s in frame)
      for frame in shapes
    ),
    size=size,
    categories=categories,
    origin=origin,
  )


def box(left: float, top: float, right: float, bottom: float) -> list[list[float]]:
  """A rectangle as COCO's polygons."""
  return [[left, top, right, top, right, bottom, left, bottom]]


def ellipse(x: float, y: float, radius_x: float, radius_y: float) -> list[list[float]]:
  """An upright ellipse as COCO's polygons, exact to a hundredth of its size."""
  angle = np.linspace(0, 2 * np.pi, 64, endpoint=False)
  points = np.stack([x + radius_x * np.cos(angle), y + radius_y * np.sin(angle)], 1)
  return [points.reshape(-1).tolist()]


def run_lengths(mask: Bool[np.ndarray, "h w"]) -> Mapping[str, Any]:
  """A mask as COCO's uncompressed RLE: down the columns, background first."""
  pixels = np.concatenate([[False], mask.T.reshape(-1)])
  changes = np.flatnonzero(pixels[1:] != pixels[:-1])
  edges = np.concatenate([[0], changes, [mask.size]])
  return {"size": list(mask.shape), "counts": np.diff(edges).tolist()}


def paste(
  mask: Bool[np.ndarray, "_ _"], left: int, top: int, size: tuple[int, int]
) -> Mapping[str, Any]:
  """A mask within a box as the RLE of the whole image; what lies outside is cut."""
  whole = np.zeros(size, bool)
  part = mask[max(0, -top) :, max(0, -left) :]
  top, left = max(0, top), max(0, left)
  part = part[: size[0] - top if top < size[0] else 0, : max(0, size[1] - left)]
  whole[top : top + part.shape[0], left : left + part.shape[1]] = part
  return run_lengths(whole)
