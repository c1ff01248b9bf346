"""CVAT for video 1.1: an XML file with tracks of polygons, masks, boxes and ellipses.

Source: CVAT's documentation, "CVAT for video" (https://docs.cvat.ai).
"""

import dataclasses
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vosjax.data.formats.coco import CocoVideo, check_size
from vosjax.data.formats.tracks import Shape, box, ellipse, paste, track_video

_KINDS = ("polygon", "mask", "box", "ellipse")
_WITHOUT_AREA = ("points", "polyline", "cuboid", "skeleton")


@dataclasses.dataclass(frozen=True)
class CvatTracks:
  """What the XML file of a video says.

  Attributes:
    path: of the XML file.
    name: of the task.
    size: (height, width).
    shapes: by frame number; every annotated frame is there.
  """

  path: Path
  name: str
  size: tuple[int, int]
  shapes: Mapping[int, Sequence[Shape]]

  def video(self, name: str, frames: Mapping[int, Path]) -> CocoVideo:
    """The video of the frames by number; those beyond the last track are not annotated.

    Raises:
      ValueError: a frame of a track is missing.
    """
    if missing := sorted(set(self.shapes) - set(frames)):
      raise ValueError(
        f"{self.path}: annotates frame {missing[0]}, but there is no such frame; the "
        f"frames are {min(frames, default='')} to {max(frames, default='')}."
      )
    order = sorted(frames)
    return track_video(
      name,
      [frames[number] for number in order],
      [self.shapes.get(number) for number in order],
      self.size,
      str(self.path),
    )


def read_cvat_xml(path: Path) -> CvatTracks:
  """Reads the tracks.

  Raises:
    ValueError: it is not such a file, or holds shapes without tracks or without area.
  """
  root = _parse(path)
  if root.tag != "annotations" or root.find("track") is None:
    what = "images instead of tracks" if root.find("image") is not None else "no tracks"
    raise ValueError(
      f"{path}: holds {what}. Export the video as 'CVAT for video 1.1', with objects "
      "annotated as tracks."
    )
  try:
    size = check_size(_size(root), path)
    shapes: dict[int, list[Shape]] = {}
    for track in root.iter("track"):
      _add_track(track, size, shapes)
    for track in root.iter("track"):
      _refuse_gaps(track, sorted(shapes))
  except (AttributeError, KeyError, TypeError, ValueError) as error:
    raise ValueError(
      f"{path}: not usable as 'CVAT for video 1.1' ({type(error).__name__}: {error}). "
      "Export it again."
    ) from None
  return CvatTracks(path, root.findtext(".//name") or path.stem, size, shapes)


def _parse(path: Path) -> ET.Element:
  """The root of an XML file; entities, which can fill the memory, are refused."""
  try:
    text = path.read_bytes().decode("utf-8-sig")
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
      raise ValueError("it declares a document type, which CVAT does not")
    return ET.fromstring(text)
  except (ET.ParseError, ValueError) as error:
    raise ValueError(f"{path}: not a complete XML file ({error}).") from None


def _size(root: ET.Element) -> tuple[int, int]:
  height = root.findtext(".//original_size/height")
  width = root.findtext(".//original_size/width")
  if height is None or width is None:
    raise ValueError("no original_size with width and height")
  return int(height), int(width)


def _add_track(
  track: ET.Element, size: tuple[int, int], shapes: dict[int, list[Shape]]
) -> None:
  label, key = track.attrib["label"], track.attrib["id"]
  for element in track:
    if element.tag in _WITHOUT_AREA:
      raise ValueError(
        f"track {key} ({label}) consists of {element.tag}, which have no area; "
        "annotate polygons or masks"
      )
    if element.tag not in _KINDS:
      continue
    number = int(element.attrib["frame"])
    if number < 0:
      raise ValueError(f"track {key} has a shape in frame {number}")
    found = shapes.setdefault(number, [])  # annotated, even if the object is outside
    if element.attrib.get("outside") != "1":
      found.append(Shape(key, _segmentation(element, size), label))


def _refuse_gaps(track: ET.Element, frames: Sequence[int]) -> None:
  """Requires a shape in every frame in which the track is visible."""
  seen = [e for e in track if e.tag in _KINDS]
  seen.sort(key=lambda element: int(element.attrib["frame"]))
  for shape, following in zip(seen, seen[1:]):
    start, stop = int(shape.attrib["frame"]), int(following.attrib["frame"])
    skipped = [number for number in frames if start < number < stop]
    if skipped and shape.attrib.get("outside") != "1":
      raise ValueError(
        f"track {track.attrib['id']} has no shape in frame {skipped[0]}, between two "
        "that have one: only keyframes were exported"
      )


def _segmentation(element: ET.Element, size: tuple[int, int]) -> Any:
  """The area of a shape, as COCO has it."""
  say = element.attrib
  if element.tag == "polygon":
    pairs = [pair.split(",") for pair in say["points"].split(";")]
    return [[float(value) for x, y in pairs for value in (x, y)]]
  if element.tag == "box":
    return box(*(float(say[key]) for key in ("xtl", "ytl", "xbr", "ybr")))
  if element.tag == "ellipse":
    return ellipse(*(float(say[key]) for key in ("cx", "cy", "rx", "ry")))
  left, top, width, height = (int(say[k]) for k in ("left", "top", "width", "height"))
  check_size((height, width), f"mask in frame {say['frame']}")
  runs = [int(run) for run in say["rle"].split(",")]
  if min(runs) < 0 or sum(runs) != width * height:
    raise ValueError(
      f"the mask in frame {say['frame']} has runs of {sum(runs)} pixels in a box of "
      f"{width}x{height}"
    )
  mask = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(height, width)
  return paste(mask, left, top, size)
