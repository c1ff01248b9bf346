"""Videos of COCO-style JSON files become label maps, or one line on what is wrong."""

import json

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from vosjax.data.codecs.coco_masks import decode
from vosjax.data.formats.coco import read_coco

SIZE = (6, 8)


def runs(mask):
  """Uncompressed RLE: column by column, zeros first."""
  flat = mask.T.reshape(-1)
  edges = np.flatnonzero(np.diff(flat)) + 1
  counts = np.diff([0, *edges, flat.size]).tolist()
  return {"size": list(mask.shape), "counts": [0, *counts] if flat[0] else counts}


def square(top, left, side=3):
  mask = np.zeros(SIZE, bool)
  mask[top : top + side, left : left + side] = True
  return mask


@pytest.mark.parametrize("seed", range(20))
def test_both_forms_of_rle_give_the_mask(seed):
  rng = np.random.default_rng(seed)
  shape = tuple(rng.integers(1, 60, 2).tolist())
  mask = rng.random(shape) < rng.choice([0, 0.05, 0.5, 1])
  compressed = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
  text = {"size": list(shape), "counts": compressed["counts"].decode()}
  np.testing.assert_array_equal(decode(text, shape), mask)
  np.testing.assert_array_equal(decode(runs(mask), shape), mask)


def test_polygons_are_filled_and_joined():
  polygons = [[1, 1, 4, 1, 4, 3, 1, 3], [6, 4, 8, 4, 8, 6, 6, 6]]
  expected = np.zeros(SIZE, bool)
  expected[1:3, 1:4] = expected[4:6, 6:8] = True
  np.testing.assert_array_equal(decode(polygons, SIZE), expected)


@pytest.mark.parametrize(
  "segmentation, text",
  [
    ({"size": [6, 8], "counts": [40]}, "over 40 pixels, but the image has 6x8"),
    ({"size": [8, 6], "counts": [48]}, r"size \[8, 6\]"),
    ({"size": 6, "counts": [48]}, "size 6 over 48 pixels"),
    ({"size": [6, 8], "counts": "o" * 5000}, "far too large"),
    ({"size": [6, 8], "counts": [-3, 51]}, "neither a string nor integers"),
    ({"size": [6, 8], "counts": "\x10"}, r"invalid character '\\x10'"),
    ({"size": [6, 8]}, "neither a string"),
    ([[1, 1, 2, 2]], "three points or more"),
    ([[0, 0, 1e9, 0, 1e9, 1e9]], "in or near the image"),
    ([["a"] * 6], "neither RLE"),
    ("abc", "neither RLE"),
  ],
)
def test_malformed_segmentations_are_refused(segmentation, text):
  with pytest.raises(ValueError, match=text):
    decode(segmentation, SIZE)


def write(path, content, files):
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text(json.dumps(content))
  for file in files:
    (path.parent / "JPEGImages" / file).parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", SIZE[::-1]).save(path.parent / "JPEGImages" / file)
  return path


def test_videos_of_youtube_vis_become_label_maps(tmp_path):
  files = ["0a/00000.jpg", "0a/00005.jpg"]
  annotations = [
    {
      "id": 7,
      "video_id": 3,
      "category_id": 2,
      "segmentations": [runs(square(0, 0, 5)), None],
    },
    {
      "id": 9,
      "video_id": 3,
      "category_id": 5,
      "segmentations": [runs(square(1, 1, 2)), runs(square(2, 4))],
    },
    {
      "id": 11,
      "video_id": 3,
      "category_id": 5,
      "iscrowd": 1,
      "segmentations": [runs(square(0, 0, 6)), None],
    },
  ]
  path = write(
    tmp_path / "train" / "instances.json",
    {
      "videos": [{"id": 3, "file_names": files, "height": 6, "width": 8}],
      "annotations": annotations,
      "categories": [{"id": 2, "name": "ape"}, {"id": 5, "name": "bee"}],
    },
    files,
  )
  (video,) = read_coco(path)
  assert (video.name, video.frame_names) == ("0a", ("00000", "00005"))
  assert video.categories == {1: "ape", 2: "bee"}
  assert video.size == SIZE and video.annotated_frames == (0, 1)
  expected = np.zeros((2, *SIZE), np.uint8)
  expected[0][square(0, 0, 6)] = 255  # a crowd, below all else
  expected[0][square(0, 0, 5)] = 1
  expected[0][square(1, 1, 2)] = 2  # the smaller one wins
  expected[1][square(2, 4)] = 2
  for t in range(2):
    np.testing.assert_array_equal(video.labels(t), expected[t])
  assert video.frame(0).shape == (*SIZE, 3)


def test_images_with_tracks_are_videos_and_others_single_frames(tmp_path):
  files = ["a1.jpg", "a0.jpg", "still.png"]
  images = [
    {"id": 1, "file_name": files[0], "video_id": 4, "frame_id": 1},
    {"id": 2, "file_name": files[1], "video_id": 4, "frame_id": 0},
    {"id": 3, "file_name": files[2]},
  ]
  mark = {"category_id": 1, "segmentation": [[1, 1, 4, 1, 4, 3, 1, 3]]}
  content = {
    "images": [image | {"height": 6, "width": 8} for image in images],
    "videos": [{"id": 4, "name": "walk"}],
    "annotations": [
      mark | {"id": 1, "image_id": 1, "instance_id": 70},
      mark | {"id": 2, "image_id": 2, "instance_id": 60},
      mark | {"id": 3, "image_id": 3},
    ],
    "categories": [{"id": 1, "name": "cat"}],
  }
  path = write(tmp_path / "labels.json", content, files)
  walk, still = read_coco(path)
  assert (walk.name, walk.frame_names) == ("walk", ("a0", "a1"))
  assert [walk.labels(t).max() for t in range(2)] == [2, 1]
  assert (still.name, len(still), still.labels(0).max()) == ("still", 1, 1)
  del content["annotations"][0]["instance_id"]
  path.write_text(json.dumps(content))
  with pytest.raises(ValueError, match="neither an instance_id nor a track_id"):
    read_coco(path)


def test_a_video_without_annotations_has_no_annotated_frames(tmp_path):
  content = {
    "videos": [{"id": 1, "file_names": ["v/0.jpg"], "height": 6, "width": 8}],
    "annotations": [],
  }
  (video,) = read_coco(write(tmp_path / "x.json", content, ["v/0.jpg"]))
  assert video.labels(0) is None and video.annotated_frames == ()


@pytest.mark.parametrize(
  "content, text",
  [
    ([], "not a COCO-style JSON"),
    ({"annotations": []}, r"not a COCO-style JSON .*'images'"),
    ({"images": []}, "no videos and no images"),
    (
      {"images": [{"id": 1, "file_name": "x.jpg", "height": 6, "width": 8}]},
      "no frame x.jpg in .*--images DIR",
    ),
  ],
)
def test_other_files_are_refused(tmp_path, content, text):
  path = tmp_path / "x.json"
  path.write_text(json.dumps(content))
  with pytest.raises(ValueError, match=text):
    read_coco(path)


def test_more_objects_than_labels_are_refused(tmp_path):
  content = {
    "images": [{"id": 1, "file_name": "x.jpg", "height": 6, "width": 8}],
    "annotations": [{"image_id": 1, "segmentation": []}] * 255,
  }
  with pytest.raises(ValueError, match="video x has 255 objects"):
    read_coco(write(tmp_path / "x.json", content, ["x.jpg"]))


def test_folders_of_windows_are_folders(tmp_path):
  """Tracks without videos: the frames of one are the images of one folder."""
  files = ["a/0.png", "a/1.png", "b/0.png", "b/1.png"]
  (tmp_path / "a").mkdir()
  (tmp_path / "b").mkdir()
  content = {
    "images": [
      {"id": n, "file_name": name.replace("/", "\\"), "height": 6, "width": 8}
      for n, name in enumerate(files)
    ],
    "annotations": [
      {"id": n, "image_id": n, "track_id": 1, "category_id": 1, "segmentation": mark}
      for n, mark in enumerate([[[1, 1, 4, 1, 4, 3, 1, 3]]] * 4)
    ],
    "categories": [{"id": 1, "name": "cat"}],
  }
  videos = read_coco(write(tmp_path / "labels.json", content, files))
  assert [(video.name, len(video)) for video in videos] == [("a", 2), ("b", 2)]
