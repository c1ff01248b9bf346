"""Annotations of tools for `import-data` that are random or damaged."""

import copy
import json
import xml.etree.ElementTree as ET

import numpy as np
from fuzzing import (
  SIZE,
  changed_json,
  damaged,
  examples,
  save_frames,
  video,
  vosjax,
)
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

COCO = {
  "videos": [
    {"id": 1, "width": 24, "height": 16, "length": 3, "file_names": ["v/00000.jpg"] * 3}
  ],
  "annotations": [
    {
      "id": 1,
      "video_id": 1,
      "category_id": 1,
      "segmentations": [
        [[2, 2, 9, 2, 9, 9]],
        None,
        {"size": [16, 24], "counts": [384]},
      ],
    }
  ],
  "categories": [{"id": 1, "name": "cat"}],
}
IMAGES = {
  "images": [
    {"id": t, "file_name": f"v/{t:05}.jpg", "width": 24, "height": 16} for t in range(3)
  ],
  "annotations": [
    {
      "id": t + 1,
      "image_id": t,
      "category_id": 1,
      "segmentation": [[2, 2, 9, 2, 9, 9]],
      "attributes": {"track_id": 1},
    }
    for t in range(3)
  ],
  "categories": [{"id": 1, "name": "cat"}],
}
LABELME = {
  "imagePath": "00001.jpg",
  "imageHeight": 16,
  "imageWidth": 24,
  "shapes": [
    {
      "label": "cat",
      "points": [[1, 1], [9, 1], [9, 9]],
      "shape_type": "polygon",
      "group_id": 1,
    }
  ],
}


@examples(
  st.sampled_from([COCO, IMAGES, LABELME]).flatmap(
    lambda value: st.tuples(st.just(value), changed_json(value))
  )
)
def test_json_for_import_data(folder, monkeypatch, values):
  original, changed = values
  frames = save_frames(folder / "in/v")
  if original is LABELME:
    for t in range(3):
      content = changed if t == 1 else LABELME | {"imagePath": f"{t:05}.jpg"}
      (frames / f"{t:05}.json").write_text(json.dumps(content))
    return vosjax(folder, "import-data", "in", "--out", "out", reads=["in"])
  (folder / "in/a.json").write_text(json.dumps(changed))
  arguments = ["in/a.json", "--images", "in", "--out", "out"]
  return vosjax(folder, "import-data", *arguments, reads=["in"])


CVAT = ET.fromstring("""
<annotations>
  <version>1.1</version>
  <meta><task><name>my task</name>
    <original_size><width>24</width><height>16</height></original_size>
  </task></meta>
  <track id="0" label="car">
    <polygon frame="0" outside="0" points="2.00,2.00;9.00,2.00;9.00,9.00"/>
    <box frame="1" outside="0" xtl="2" ytl="2" xbr="9" ybr="9"/>
    <polygon frame="2" outside="1" points="2.00,2.00;9.00,2.00;9.00,9.00"/>
  </track>
  <track id="1" label="dog">
    <mask frame="0" outside="0" rle="0, 36" left="12" top="8" width="6" height="6"/>
    <ellipse frame="1" outside="0" cx="15" cy="9" rx="4" ry="3.5" rotation="30"/>
    <mask frame="2" outside="0" rle="5, 26, 5" left="12" top="8" width="6" height="6"/>
  </track>
</annotations>
""")
TEXTS = st.sampled_from([
  "", "0", "1", "-1", "2", "7", "1e400", "nan", "-inf", "0.5", "9" * 30, "9" * 5000,
  "²", "1,2", "1,2;3", "0, 36", "36", "-5,41", "../../up", "é", "x" * 300,
])  # fmt: skip


@st.composite
def changed_xml(draw):
  """CVAT's file with some attributes, texts and elements changed, lost or repeated."""
  root = copy.deepcopy(CVAT)
  for _ in range(draw(st.integers(0, 3))):
    element = draw(st.sampled_from(list(root.iter())))
    what = draw(st.sampled_from(["attribute", "attribute", "less", "text", "elements"]))
    if what == "text":
      element.text = draw(TEXTS)
    elif what == "elements" and len(element):
      child = draw(st.sampled_from(list(element)))
      if draw(st.booleans()):
        element.append(copy.deepcopy(child))
      else:
        element.remove(child)
    elif element.attrib:
      name = draw(st.sampled_from(sorted(element.attrib)))
      if what == "less":
        del element.attrib[name]
      else:
        element.attrib[name] = draw(TEXTS)
  return draw(damaged(ET.tostring(root)))


@examples(changed_xml())
def test_xml_for_import_data(folder, monkeypatch, content):
  save_frames(folder / "in/v")
  (folder / "in/a.xml").write_bytes(content)
  arguments = ["in/a.xml", "--images", "in/v", "--out", "out"]
  return vosjax(folder, "import-data", *arguments, reads=["in"])


MASK = coco_mask.encode(np.asfortranarray(np.tri(*SIZE, dtype=np.uint8)))["counts"]
FIELDS = TEXTS | st.sampled_from(
  ["3", "4", "10000", "16", "24", MASK.decode(), "P" * 9]
)


@st.composite
def mots_lines(draw):
  """A file of MOTS with some fields and lines changed, lost or repeated."""
  lines = [[str(t), "2001", "2", *map(str, SIZE), MASK.decode()] for t in (1, 2, 3)]
  for _ in range(draw(st.integers(0, 3))):
    line = draw(st.sampled_from(lines))
    at = draw(st.integers(0, len(line)))
    line[at : at + draw(st.integers(0, 1))] = draw(st.lists(FIELDS, max_size=1))
    if draw(st.booleans()):
      lines.append(list(line))
  return draw(damaged("\n".join(map(" ".join, lines)).encode()))


@examples(mots_lines())
def test_mots_for_import_data(folder, monkeypatch, content):
  save_frames(folder / "in/v/img1")
  (folder / "in/v/gt").mkdir()
  (folder / "in/v/gt/gt.txt").write_bytes(content)
  return vosjax(folder, "import-data", "in", "--out", "out", reads=["in"])


SAV = {
  "video_id": "sav_1",
  "video_height": 16,
  "video_width": 24,
  "masklet_id": [0, 1],
  "masklet": [
    [{"size": [16, 24], "counts": MASK.decode()}, None],
    [None, {"size": [16, 24], "counts": MASK.decode()}],
  ],
}


@examples(changed_json(SAV), st.sampled_from(["manual", "auto"]), st.data())
def test_sav_for_import_data(folder, monkeypatch, content, kind, data):
  (folder / "in").mkdir()
  (folder / f"in/sav_1_{kind}.json").write_text(json.dumps(content))
  film = video("mp4")
  if data.draw(st.integers(0, 3)) == 0:
    film = data.draw(damaged(film))
  (folder / "in/sav_1.mp4").write_bytes(film)
  return vosjax(folder, "import-data", "in", "--out", "out", reads=["in"])
