"""Boxes in PASCAL VOC's XML, counted from 1 with both ends."""

import pytest

from vosjax.data.codecs.voc_boxes import Box, read_boxes

OBJECT = (
  b"<object><name> cat </name>{}<bndbox><xmin>1</xmin><ymin>5.0</ymin>"
  b"<xmax>8</xmax><ymax>6</ymax></bndbox></object>"
)


def test_boxes_are_half_open_and_count_from_zero():
  hard = OBJECT.replace(b"{}", b"<difficult>1</difficult>")
  xml = b"<annotation>" + OBJECT.replace(b"{}", b"") + hard + b"</annotation>"
  assert read_boxes(xml, "a") == [
    Box("cat", top=4, left=0, bottom=6, right=8, difficult=False),
    Box("cat", top=4, left=0, bottom=6, right=8, difficult=True),
  ]
  assert read_boxes(b"<annotation/>", "a") == []


@pytest.mark.parametrize(
  "xml",
  [
    b"<annotation>",
    b"<a><object><name>cat</name></object></a>",
    b"<a><object><bndbox><xmin>inf</xmin></bndbox></object></a>",
  ],
)
def test_files_of_another_kind_are_named(xml):
  with pytest.raises(ValueError, match=r"cat_1\.xml: not a PASCAL VOC annotation"):
    read_boxes(xml, "cat_1.xml")
