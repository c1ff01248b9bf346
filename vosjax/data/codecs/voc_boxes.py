"""Bounding boxes in the XML files of PASCAL VOC."""

from typing import NamedTuple
from xml.etree import ElementTree


class Box(NamedTuple):
  """The box of one object: rows `top` to `bottom` - 1, columns `left` to `right` - 1.

  Attributes:
    category: class of the object.
    difficult: the object counts neither as a hit nor as a miss.
  """

  category: str
  top: int
  left: int
  bottom: int
  right: int
  difficult: bool


def read_boxes(xml: bytes, name: str) -> list[Box]:
  """The objects in a VOC XML file, which counts pixels from 1 and includes both ends.

  Raises:
    ValueError: the XML is not of this kind; the message begins with `name`.
  """
  try:
    return [_box(element) for element in ElementTree.fromstring(xml).iter("object")]
  except (ElementTree.ParseError, OverflowError, TypeError, ValueError) as error:
    raise ValueError(
      f"{name}: not a PASCAL VOC annotation ({error}). Unpack the dataset again."
    ) from None


def _box(element: ElementTree.Element) -> Box:
  left, top, right, bottom = (
    int(float(element.findtext(f"bndbox/{side}", "")))
    for side in ("xmin", "ymin", "xmax", "ymax")
  )
  return Box(
    element.findtext("name", "").strip(),
    top - 1,
    left - 1,
    bottom,
    right,
    element.findtext("difficult", "0").strip() == "1",
  )
