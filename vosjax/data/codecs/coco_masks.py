"""Masks as COCO stores them in JSON: run lengths and polygons."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool

_MOST_BITS = 60  # of a run length
_FARTHEST = 4  # image sides; a polygon with points farther away is a mistake


def decode(segmentation: Any, size: tuple[int, int]) -> Bool[np.ndarray, "h w"]:
  """The mask of a segmentation as COCO stores it.

  Args:
    segmentation: RLE with `size` and `counts`, a string or a list; or polygons, each a
      list x1, y1, x2, y2, ...
    size: (height, width) of the image.

  Raises:
    ValueError: it is none of these, or belongs to an image of another size.

  Source: pycocotools, whose masks are the same.
  """
  if isinstance(segmentation, Mapping):
    return _fill(segmentation, size)
  if not isinstance(segmentation, list) or not all(
    _is_polygon(points, _FARTHEST * max(size)) for points in segmentation
  ):
    raise ValueError(
      "a segmentation that is neither RLE ({size, counts}) nor a list of polygons of "
      "three points or more in or near the image ([[x1, y1, x2, y2, ...]])."
    )
  if not segmentation:
    return np.zeros(size, bool)
  from pycocotools import mask as coco_mask  # needed for polygons only

  rle = coco_mask.merge(coco_mask.frPyObjects(segmentation, *size))
  return _fill(rle | {"counts": rle["counts"].decode()}, size)


def _fill(rle: Mapping[str, Any], size: tuple[int, int]) -> Bool[np.ndarray, "h w"]:
  """The mask of run lengths, which go down the columns and start with background."""
  counts = rle.get("counts")
  runs = _runs(counts) if isinstance(counts, str) else counts
  if not isinstance(runs, list) or not all(
    isinstance(run, int) and run >= 0 for run in runs
  ):
    raise ValueError("an RLE whose counts are neither a string nor integers.")
  given = rle.get("size")
  is_of_size = isinstance(given, list | tuple) and tuple(given) == size
  if not is_of_size or sum(runs) != size[0] * size[1]:
    raise ValueError(
      f"an RLE of size {given} over {sum(runs)} pixels, but the image "
      f"has {size[0]}x{size[1]} (height x width)."
    )
  return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(size[::-1]).T


def _runs(text: str) -> list[int]:
  """Run lengths in COCO's compressed string of base-32 digits.

  From the fourth one on, a run is stored as the difference to the last but one.
  """
  runs: list[int] = []
  value = shift = 0
  for character in text:
    digit = ord(character) - 48
    if not 0 <= digit < 64:
      raise ValueError(
        f"an RLE with the invalid character {character!r} in its counts."
      )
    if shift > _MOST_BITS:
      raise ValueError("an RLE with a number in its counts that is far too large.")
    value |= (digit & 31) << shift
    shift += 5
    if digit & 32:
      continue
    if digit & 16:
      value -= 1 << shift
    runs.append(value + (runs[-2] if len(runs) > 2 else 0))
    value = shift = 0
  return runs


def _is_polygon(points: Any, limit: int) -> bool:
  """Whether `points` are three or more points within `limit` of the origin."""
  return (
    isinstance(points, list)
    and len(points) >= 6
    and not len(points) % 2
    and all(isinstance(x, int | float) and abs(x) <= limit for x in points)
  )
