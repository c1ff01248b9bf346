"""Bounding boxes as PASCAL VOC's XML files hold them."""

from typing import NamedTuple
from xml.etree import ElementTree


class Box(NamedTuple):
  """One annotated object: rows top to bottom - 1, columns left to right - 1.

  Attributes:
    category: its class.
    difficult: it counts neither as hit nor as miss.
  """

  category: str
  top: int
  left: int
  bottom: int
  right: int
  difficult: bool


def read_boxes(xml: bytes, name: str) -> list[Box]:
  """The objects in a VOC XML file, whose pixels count from 1, both ends included.

  Raises:
    ValueError: the file is no such XML; `name` stands in the text.
  """
  try:
    return [_box(found) for found in ElementTree.fromstring(xml).iter("object")]
  except (ElementTree.ParseError, TypeError, ValueError) as error:
    raise ValueError(
      f"{name}: no PASCAL VOC annotation ({error}). Unpack the data set again."
    ) from None


def _box(found: ElementTree.Element) -> Box:
  left, top, right, bottom = (
    int(float(found.findtext(f"bndbox/{side}", "")))
    for side in ("xmin", "ymin", "xmax", "ymax")
  )
  return Box(
    found.findtext("name", "").strip(),
    top - 1,
    left - 1,
    bottom,
    right,
    found.findtext("difficult", "0").strip() == "1",
  )
