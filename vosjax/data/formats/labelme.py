"""labelme: one JSON file per image, beside it, with polygons and other shapes.

An object is the same in all frames if its shapes have the same label and group id, or
the same label alone, if that occurs once in each frame.

Source: Wada, labelme (https://github.com/wkentaro/labelme).
"""

import base64
import io
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vosjax.data.formats.coco import CocoVideo, check_size
from vosjax.data.formats.folders import by_number, image_files, path_inside
from vosjax.data.formats.tracks import Shape, box, ellipse, paste, track_video

_UNUSABLE = (
  AttributeError,
  KeyError,
  OverflowError,
  RecursionError,
  TypeError,
  ValueError,
)


def is_labelme(path: Path) -> bool:
  """Whether a JSON file is one of labelme."""
  try:
    content = json.loads(path.read_bytes())
  except (OSError, ValueError, RecursionError):
    return False
  return isinstance(content, dict) and "shapes" in content and "imagePath" in content


def read_labelme(folder: Path, name: str) -> CocoVideo:
  """The video whose frames and JSON files lie in a folder.

  Raises:
    ValueError: a file is damaged, has shapes without an area or objects that cannot
      be told apart, or its image is missing.
  """
  frames = image_files(folder)
  shapes: dict[Path, list[Shape]] = {}
  sizes: dict[tuple[int, int], Path] = {}
  for path in sorted(folder.glob("*.json"), key=lambda path: by_number(path.stem)):
    try:
      content = json.loads(path.read_bytes())
      size = check_size((content["imageHeight"], content["imageWidth"]), path)
      image = frames.get(path.stem) or path_inside(folder, content["imagePath"])
      found = list(_shapes(content["shapes"], size))
    except _UNUSABLE as error:
      raise ValueError(
        f"{path}: not usable as a JSON file of labelme ({type(error).__name__}: "
        f"{error}). Correct it in labelme, or remove it."
      ) from None
    if not image.is_file():
      raise ValueError(f"{path}: there is no image {image}. Put it there.")
    _refuse_ambiguous(path, found)
    sizes[size] = path
    frames.setdefault(image.stem, image)
    shapes[image] = found
  if len(sizes) > 1:
    raise ValueError(f"{folder}: frames differ in size: {list(sizes)} (height, width).")
  ordered = [frames[stem] for stem in sorted(frames, key=by_number)]
  (size,) = sizes
  return track_video(
    name, ordered, [shapes.get(frame) for frame in ordered], size, str(folder)
  )


def _shapes(records: list[Any], size: tuple[int, int]) -> Iterator[Shape]:
  for record in records:
    label, group = str(record["label"]), record.get("group_id")
    track = (label, None if group is None else str(group))
    yield Shape(track, _segmentation(record, size), label)


def _segmentation(record: Mapping[str, Any], size: tuple[int, int]) -> Any:
  """The area of a shape, as COCO has it."""
  kind, points = record.get("shape_type", "polygon"), record["points"]
  xy = [(float(x), float(y)) for x, y in points]
  if kind == "polygon" and len(xy) >= 3:
    return [[value for point in xy for value in point]]
  if kind == "rectangle" and len(xy) == 2:
    return box(*xy[0], *xy[1])
  if kind == "circle" and len(xy) == 2:
    radius = math.dist(xy[0], xy[1])
    return ellipse(*xy[0], radius, radius)
  if kind == "mask" and len(xy) == 2:
    return paste(_decode_mask(record["mask"]), round(xy[0][0]), round(xy[0][1]), size)
  raise ValueError(
    f"{record['label']}: a shape of type {kind} with {len(xy)} points has no area; "
    "expected a polygon, rectangle, circle or mask"
  )


def _decode_mask(text: str) -> np.ndarray:
  """The mask of a shape: a PNG in base64."""
  try:
    image = Image.open(io.BytesIO(base64.b64decode(text, validate=True)))
    return np.asarray(image.convert("L")) > 0
  except (OSError, SyntaxError, Image.DecompressionBombError) as error:
    raise ValueError(f"a mask that is not a PNG ({error})") from None


def _refuse_ambiguous(path: Path, shapes: list[Shape]) -> None:
  """Two shapes of one label without group ids are two objects, or parts of one."""
  labels = [shape.track[0] for shape in shapes if shape.track[1] is None]
  repeated = sorted({label for label in labels if labels.count(label) > 1})
  if repeated:
    raise ValueError(
      f"{path}: {labels.count(repeated[0])} shapes are labelled {repeated[0]!r} and "
      "have no group id, so that nobody knows which object is which in other frames. "
      "Give each object a group id of its own in labelme."
    )
