"""Exports of annotation tools become videos whose ids follow tracks."""

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from vosjax.data.formats.detect import find_user_data

SIZE = (24, 32)


def square(top, left, side=6):
  mask = np.zeros(SIZE, bool)
  mask[top : top + side, left : left + side] = True
  return mask


# Two objects in three frames; the second one is absent from the second frame, where the
# first one has moved.
FIRST = [square(2, 3 + t) for t in range(3)]
SECOND = [square(14, 20), None, square(14, 20)]


def expected(t):
  labels = np.where(FIRST[t], 1, 0)
  return labels if SECOND[t] is None else np.where(SECOND[t], 2, labels)


def rle(mask):
  found = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
  return {"size": list(mask.shape), "counts": found["counts"].decode()}


def polygon(mask):
  """The corners of a square, in COCO's order."""
  rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
  top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
  return [[int(x) for x in (left, top, right, top, right, bottom, left, bottom)]]


def points(mask):
  xy = polygon(mask)[0]
  return list(zip(xy[::2], xy[1::2]))


def write_frames(folder, names):
  folder.mkdir(parents=True, exist_ok=True)
  for name in names:
    Image.new("RGB", SIZE[::-1], (9, 90, 30)).save(folder / name)


def objects(t):
  """Number and mask of each object of a frame."""
  return [
    (i, masks[t]) for i, masks in enumerate((FIRST, SECOND), 1) if any_at(masks, t)
  ]


def any_at(masks, t):
  return masks[t] is not None


def write_cvat_masks(root):
  write_frames(root / "JPEGImages", [f"frame_{t:06d}.PNG" for t in range(3)])
  (root / "SegmentationObject").mkdir()
  palette = np.array([[0, 0, 0], [128, 0, 0], [0, 128, 0]], np.uint8)  # VOC's
  for t in range(3):
    Image.fromarray(palette[expected(t)]).save(
      root / "SegmentationObject" / f"frame_{t:06d}.png"
    )


def write_cvat_coco(root, *, brush=False):
  names = [f"frame_{t:06d}.png" for t in range(3)]
  write_frames(root / "images", names)
  annotations = [
    {
      "id": 10 * t + i,
      "image_id": t + 1,
      "category_id": 1,
      "segmentation": rle(mask) if brush else polygon(mask),
      "iscrowd": int(brush),  # CVAT says so of every mask
      "attributes": {"occluded": False, "track_id": i + 4},
    }
    for t in range(3)
    for i, mask in objects(t)
  ]
  images = [
    {"id": t + 1, "file_name": name, "height": SIZE[0], "width": SIZE[1]}
    for t, name in enumerate(names)
  ]
  write_json(
    root / "annotations" / "instances_default.json",
    {
      "images": images,
      "annotations": annotations,
      "categories": [{"id": 1, "name": "car"}],
    },
  )


def write_cvat_xml(root, *, head="", skip=()):
  write_frames(root / "images", [f"frame_{t:06d}.png" for t in range(3)])
  text = {"polygon": "", "mask": ""}
  for t, mask in enumerate(FIRST):
    if t not in skip:
      xy = ";".join(f"{x:.2f},{y:.2f}" for x, y in points(mask))
      text["polygon"] += (
        f'<polygon frame="{t}" keyframe="1" outside="0" points="{xy}"/>'
      )
  for t in range(3):
    runs, outside = ("0, 36", 0) if any_at(SECOND, t) else ("0, 36", 1)
    text["mask"] += (
      f'<mask frame="{t}" outside="{outside}" rle="{runs}" left="20" top="14" '
      'width="6" height="6"/>'
    )
  (root / "annotations.xml").write_text(
    f'<?xml version="1.0" encoding="utf-8"?>{head}<annotations><meta><task><name>my '
    "task</name><original_size><width>32</width><height>24</height></original_size>"
    '</task></meta><track id="0" label="car">'
    f'{text["polygon"]}</track><track id="1" label="dog">{text["mask"]}</track>'
    "</annotations>"
  )


def write_labelme(root):
  write_frames(root, [f"{t}.jpg" for t in range(3)])
  for t in range(3):
    shapes = []
    for i, mask in objects(t):
      shape = {"label": "car", "group_id": i, "shape_type": "polygon"}
      if i == 1:
        shape["points"] = points(mask)
      else:  # drawn by labelme's AI: a PNG within a box
        buffer = io.BytesIO()
        Image.new("1", (6, 6), 1).save(buffer, "PNG")
        encoded = base64.b64encode(buffer.getvalue()).decode()
        shape |= {"shape_type": "mask", "mask": encoded}
        shape["points"] = [[20, 14], [25, 19]]
      shapes.append(shape)
    content = {"shapes": shapes, "imagePath": f"{t}.jpg", "imageData": None}
    content |= {"imageHeight": SIZE[0], "imageWidth": SIZE[1]}
    write_json(root / f"{t}.json", content)


def write_mots(root, *, first=1):
  write_frames(root / "img1", [f"{t + 1:06d}.jpg" for t in range(3)])
  lines = [
    f"{t + first} {2000 + i} 2 {SIZE[0]} {SIZE[1]} {rle(mask)['counts']}"
    for t in range(3)
    for i, mask in objects(t)
  ]
  (root / "gt").mkdir()
  (root / "gt" / "gt.txt").write_text("\n".join(lines) + "\n")


def write_kitti_mots(root):
  write_mots(root, first=0)
  (root / "image_02").mkdir()
  (root / "img1").rename(root / "image_02" / "0003")
  (root / "instances_txt").mkdir()
  (root / "gt" / "gt.txt").rename(root / "instances_txt" / "0003.txt")


def write_json(path, content):
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text(json.dumps(content))


@pytest.mark.parametrize(
  ("write", "layout", "name", "categories"),
  [
    (write_cvat_masks, "CVAT Segmentation mask", "data", {}),
    (write_cvat_coco, "COCO", "video", {1: "car", 2: "car"}),
    (
      lambda root: write_cvat_coco(root, brush=True),
      "COCO",
      "video",
      {1: "car", 2: "car"},
    ),
    (write_cvat_xml, "CVAT for video", "my_task", {1: "car", 2: "dog"}),
    (write_labelme, "labelme", "data", {1: "car", 2: "car"}),
    (write_mots, "MOTS", "data", {1: "pedestrian", 2: "pedestrian"}),
    (write_kitti_mots, "MOTS", "0003", {1: "pedestrian", 2: "pedestrian"}),
  ],
)
def test_one_video_stays_one_and_ids_follow_tracks(
  tmp_path, write, layout, name, categories
):
  write(tmp_path / "data")
  data = find_user_data(tmp_path / "data", None, tmp_path / "extracted")
  (video,) = data.videos
  assert (data.layout, video.name, data.problems) == (layout, name, ())
  assert data.categories.get(name, {}) == categories
  for t in range(3):
    assert video.frame(t).shape == (*SIZE, 3)
    np.testing.assert_array_equal(video.labels(t), expected(t))


def sav(**changes):
  masks = [
    [rle(FIRST[t]), rle(SECOND[t]) if any_at(SECOND, t) else None] for t in range(3)
  ]
  content = {"video_id": "sav_1", "video_height": SIZE[0], "video_width": SIZE[1]}
  return content | {"masklet_id": [0, 1], "masklet": masks} | changes


def test_a_video_without_annotated_frames_is_a_problem(tmp_path):
  write_json(tmp_path / "sav_1_manual.json", sav(masklet=[]))
  (tmp_path / "sav_1.mp4").touch()
  data = find_user_data(tmp_path, None, tmp_path / "extracted")
  assert not data.videos
  assert "sav_1: no frame is annotated" in data.problems


def test_sav_annotates_every_fourth_frame_of_a_video_file(tmp_path):
  write_json(tmp_path / "sav_1_manual.json", sav())
  write_json(tmp_path / "sav_1_auto.json", sav(masklet=[]))  # the manual one counts
  (tmp_path / "sav_1.mp4").touch()
  data = find_user_data(tmp_path, None, tmp_path / "extracted")
  (video,) = data.videos
  assert data.parts["sav_1"].indices == (0, 4, 8)
  assert video.frame_files[1] == tmp_path / "extracted" / "sav_1" / "00004.jpg"
  for t in range(3):
    np.testing.assert_array_equal(video.labels(t), expected(t))


def test_cvat_exports_without_images_number_the_frames_of_a_video_file(tmp_path):
  file = tmp_path / "my clip.mp4"
  file.touch()
  write_cvat_coco(tmp_path)
  write_cvat_xml(tmp_path)
  for path in ("annotations/instances_default.json", "annotations.xml"):
    data = find_user_data(tmp_path / path, file, tmp_path / "extracted")
    (video,) = data.videos
    assert data.parts[video.name].indices == (0, 1, 2)
    assert video.frame_files[1] == tmp_path / "extracted" / video.name / "00001.jpg"
    np.testing.assert_array_equal(video.labels(2), expected(2))


def test_file_names_without_numbers_are_not_frames_of_a_video_file(tmp_path):
  write_cvat_coco(tmp_path)
  path = tmp_path / "annotations" / "instances_default.json"
  replace(path, "frame_000002", "last")
  (tmp_path / "clip.mp4").touch()
  with pytest.raises(ValueError, match="such as 'frame_000000.png', are not the numb"):
    find_user_data(path, tmp_path / "clip.mp4", tmp_path)


def test_objects_that_exchange_colours_are_refused(tmp_path):
  write_cvat_masks(tmp_path)
  path = tmp_path / "SegmentationObject" / "frame_000002.png"
  colors = np.zeros((*SIZE, 3), np.uint8)
  colors[FIRST[2]] = 0, 128, 0
  Image.fromarray(colors).save(path)
  with pytest.raises(ValueError, match="object 2 is where another object was .*COCO"):
    find_user_data(tmp_path, None, tmp_path)


def test_labelme_shapes_of_one_label_need_group_ids(tmp_path):
  write_labelme(tmp_path)
  content = json.loads((tmp_path / "0.json").read_text())
  for shape in content["shapes"]:
    shape["group_id"] = None
  write_json(tmp_path / "0.json", content)
  with pytest.raises(ValueError, match="2 shapes are labelled 'car' and have no group"):
    find_user_data(tmp_path, None, tmp_path)


def cut(path):
  path.write_bytes(path.read_bytes()[:-40])


@pytest.mark.parametrize(
  ("write", "damage", "text"),
  [
    (write_labelme, lambda p: cut(p / "1.json"), "1.json: not usable as a JSON file"),
    (
      write_labelme,
      lambda p: edit(p / "1.json", imageHeight=10**9),
      "says that frames have 1000000000x32 pixels",
    ),
    (
      write_labelme,
      lambda p: ((p / "1.jpg").unlink(), edit(p / "1.json", imagePath="../../x.jpg")),
      "'../../x.jpg' leads out of",
    ),
    (
      write_labelme,
      lambda p: edit(
        p / "1.json", shapes=[{"label": "a", "points": [[1, 2]], "shape_type": "point"}]
      ),
      "a: a shape of type point with 1 points has no area",
    ),
    (write_cvat_xml, lambda p: cut(p / "annotations.xml"), "not a complete XML file"),
    (
      lambda p: write_cvat_xml(p, head='<!DOCTYPE a [<!ENTITY b "c">]>'),
      lambda p: None,
      "declares a document type",
    ),
    (
      lambda p: write_cvat_xml(p, skip=(1,)),
      lambda p: None,
      "track 0 has no shape in frame 1",
    ),
    (
      write_cvat_xml,
      lambda p: replace(p / "annotations.xml", "0, 36", "0, 37"),
      "runs of 37 pixels in a box of 6x6",
    ),
    (
      write_cvat_xml,
      lambda p: replace(p / "annotations.xml", "track", "image"),
      "holds images instead of tracks",
    ),
    (
      write_cvat_xml,
      lambda p: (p / "images" / "frame_000002.png").unlink(),
      "annotates frame 2, but there is no such frame",
    ),
    (
      write_mots,
      lambda p: replace(p / "gt" / "gt.txt", " 24 ", " "),
      "line 1: expected",
    ),
    (
      write_mots,
      lambda p: replace(p / "gt" / "gt.txt", " 24 ", f" {'9' * 5000} "),
      "line 1: expected",
    ),
    (
      lambda p: write_mots(p, first=0),
      lambda p: None,
      "line 1: frame 0, but .* has 3 frames, numbered from 1",
    ),
    (
      write_cvat_coco,
      lambda p: replace(
        p / "annotations" / "instances_default.json", "frame_000000", "../../../f"
      ),
      "'../../../f.png' leads out of",
    ),
    (
      lambda p: write_json(p / "a.json", {}),
      lambda p: (p / "a.json").write_text('{"annotations":' + "[" * 10**5),
      "a.json: not a COCO-style JSON .RecursionError",
    ),
    (
      lambda p: write_json(p / "a.json", {}),
      lambda p: (p / "a.json").write_text('{"annotations":' + "9" * 5000 + "}"),
      "a.json: not a COCO-style JSON .ValueError",
    ),
    (
      write_cvat_masks,
      lambda p: (p / "JPEGImages" / "frame_000001.PNG").unlink(),
      "a mask frame_000001 without a frame",
    ),
    (
      write_cvat_masks,
      lambda p: (p / "JPEGImages").rename(p / "elsewhere"),
      "a mask frame_000000 without a frame. Export the task again with its images",
    ),
  ],
)
def test_unusable_exports_are_refused_with_the_reason(tmp_path, write, damage, text):
  write(tmp_path / "data")
  damage(tmp_path / "data")
  with pytest.raises(ValueError, match=text) as caught:
    find_user_data(tmp_path / "data", None, tmp_path / "extracted")
  assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
  ("changes", "text"),
  [
    ({"masklet": [[None]]}, "a frame has 1 masks for 2 masklets"),
    ({"video_width": "32"}, "24x32 pixels .* expected two whole numbers"),
    ({"masklet": None}, "not a JSON file of SA-V"),
    (
      {"masklet_id": [[0], 1]},
      r"masklet_id is \[\[0\], 1\]; expected a list of numbers",
    ),
    ({"masklet_id": {"0": 0, "1": 1}}, "expected a list of numbers or names"),
    ({"masklet_id": [5, 5]}, r"masklet_id is \[5, 5\]; expected different ids"),
  ],
)
def test_unusable_sav_files_are_refused(tmp_path, changes, text):
  write_json(tmp_path / "sav_1_manual.json", sav(**changes))
  (tmp_path / "sav_1.mp4").touch()
  with pytest.raises(ValueError, match=text):
    find_user_data(tmp_path, None, tmp_path)


@pytest.mark.parametrize("kind", ["sav", "mots"])
def test_a_mask_of_another_size_is_a_problem_of_its_frame(tmp_path, kind):
  small = rle(np.ones((6, 8), bool))
  if kind == "sav":
    write_json(tmp_path / "sav_1_manual.json", sav(masklet=[[small, small]]))
    (tmp_path / "sav_1.mp4").touch()
  else:
    write_mots(tmp_path)
    (tmp_path / "gt" / "gt.txt").write_text(f"1 1 1 24 32 {small['counts']}")
  (video,) = find_user_data(tmp_path, None, tmp_path).videos
  with pytest.raises(ValueError, match="an RLE of size .* but the image has 24x32"):
    video.labels(0)


def edit(path, **changes):
  write_json(path, json.loads(path.read_text()) | changes)


def replace(path, old, new):
  text = path.read_text()
  assert old in text
  path.write_text(text.replace(old, new))
