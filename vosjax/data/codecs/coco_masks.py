"""Masks as COCO writes them into JSON: run lengths and polygons."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool

_FARTHEST = 4  # a polygon's point, in sides of the picture: beyond, it is a mistake


def decode(segmentation: Any, size: tuple[int, int]) -> Bool[np.ndarray, "h w"]:
  """The mask of a segmentation as COCO writes it.

  Args:
    segmentation: RLE with `size` and `counts`, a text or a list; or polygons, each a
      list x1, y1, x2, y2, ...
    size: (height, width) of the picture.

  Raises:
    ValueError: it is none of these, or belongs to a picture of another size.

  Source: pycocotools, whose masks these are.
  """
  if isinstance(segmentation, Mapping):
    return _fill(segmentation, size)
  if not isinstance(segmentation, list) or not all(
    _is_polygon(points, _FARTHEST * max(size)) for points in segmentation
  ):
    raise ValueError(
      "a segmentation that is neither RLE ({size, counts}) nor a list of polygons of "
      "three points or more in or near the picture ([[x1, y1, x2, y2, ...]])."
    )
  if not segmentation:
    return np.zeros(size, bool)
  from pycocotools import mask as coco_mask  # only those who have polygons need it

  rle = coco_mask.merge(coco_mask.frPyObjects(segmentation, *size))
  return _fill(rle | {"counts": rle["counts"].decode()}, size)


def _fill(rle: Mapping[str, Any], size: tuple[int, int]) -> Bool[np.ndarray, "h w"]:
  """The mask of run lengths, which go down the columns and begin with background."""
  counts = rle.get("counts")
  runs = _runs(counts) if isinstance(counts, str) else counts
  if not isinstance(runs, list) or not all(
    isinstance(run, int) and run >= 0 for run in runs
  ):
    raise ValueError("an RLE whose counts are neither a text nor whole numbers.")
  if list(rle.get("size", ())) != list(size) or sum(runs) != size[0] * size[1]:
    raise ValueError(
      f"an RLE of size {rle.get('size')} over {sum(runs)} pixels, but the picture "
      f"has {size[0]}x{size[1]} (height x width)."
    )
  return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(size[::-1]).T


def _runs(text: str) -> list[int]:
  """Run lengths of COCO's compressed text: digits of 6 bits, differences of two."""
  runs: list[int] = []
  value = shift = 0
  for character in text:
    digit = ord(character) - 48
    if not 0 <= digit < 64:
      raise ValueError(f"an RLE with the character {character!r} in its counts.")
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
  """Three points or more, none of them absurdly far away."""
  return (
    isinstance(points, list)
    and len(points) >= 6
    and not len(points) % 2
    and all(isinstance(x, int | float) and abs(x) <= limit for x in points)
  )
