"""The YouTube-Objects builder: shots with masks, images with boxes."""

import numpy as np
import pytest
from PIL import Image

from vosjax.data.codecs.voc_boxes import Box

pytestmark = pytest.mark.filterwarnings("default")  # tfds and its dependencies

SHOTS = {"cat/0001": ["001"], "cat/0004": ["002", "005"], "train/0002": ["001"]}
XML = """<annotation><filename>{name}.jpg</filename>
  <object><name>cat</name><difficult>0</difficult><bndbox>
    <xmin>3</xmin><ymin>1</ymin><xmax>7</xmax><ymax>4</ymax></bndbox></object>
  <object><name>cat</name><difficult>1</difficult><bndbox>
    <xmin>1</xmin><ymin>2</ymin><xmax>2</xmax><ymax>6</ymax></bndbox></object>
</annotation>"""


@pytest.fixture
def masks_tree(tmp_path):
  """Shots whose frames lie beside the labels, and one whose frames are release 1's."""
  root = tmp_path / "youtube_masks"
  rng = np.random.default_rng(0)
  for video, shots in SHOTS.items():
    category, number = video.split("/")
    for shot in shots:
      folder = root / category / "data" / number / "shots" / shot
      (folder / "labels").mkdir(parents=True)
      frames, suffix, stem = folder / "images", "png", "{:05}"
      if category == "train":
        frames = tmp_path / "youtube_objects" / folder.relative_to(root)
        suffix, stem = "jpg", "frame{:04}"
      frames.mkdir(parents=True)
      for t in range(1, 12):
        Image.fromarray(rng.integers(0, 256, (16, 24, 3), np.uint8)).save(
          frames / f"{stem.format(t)}.{suffix}"
        )
      for t in (1, 11):
        gray = np.zeros((16, 24), np.uint8)
        gray[4:12, t : t + 8] = 255
        Image.fromarray(gray).save(folder / f"labels/{t:05}.jpg")
    (root / category / "data" / "0099" / "shots" / "001" / "labels").mkdir(
      parents=True, exist_ok=True
    )  # not annotated
  return root


@pytest.fixture
def boxes_tree(tmp_path):
  root = tmp_path / "YTO"
  for folder in ("Annotations", "ImageSets/Main", "JPEGImages"):
    (root / folder).mkdir(parents=True)
  for split, names in (
    ("train", ["cat_00000001", "cat_00000022"]),
    ("test", ["cat_00000333"]),
  ):
    (root / f"ImageSets/Main/{split}YTO.txt").write_text("\n".join(names) + "\n")
    for name in names:
      Image.fromarray(np.full((6, 8, 3), len(names), np.uint8)).save(
        root / f"JPEGImages/{name}.jpg"
      )
      (root / f"Annotations/{name}.xml").write_text(XML.format(name=name))
  return root


@pytest.fixture
def run(build_videos):
  return lambda root, config: build_videos(
    "youtube_objects",
    root,
    config=config,
    NUM_SHOTS={"cat": 3, "train": 1},
    NUM_IMAGES={"train": 2, "test": 1},
    NUM_VIDEOS=(1, 2),
  )


def test_shots_hold_their_masks_and_categories(run, masks_tree):
  videos = run(masks_tree, "masks")["test"]
  assert set(videos) == {"cat/0001", "cat/0004/002", "cat/0004/005", "train/0002"}
  for name, video in videos.items():
    category, number, *shot = name.split("/")
    folder = masks_tree / category / "data" / number / "shots" / (shot or ["001"])[0]
    assert len(video) == 11 and video.categories == {1: category}
    for t in range(11):
      labels = folder / f"labels/{t + 1:05}.jpg"
      if t not in (0, 10):
        assert video.labels(t) is None
        continue
      assert video.mask_files(t) == [labels.read_bytes()]
      expected = np.zeros((16, 24), np.uint8)
      expected[4:12, t + 1 : t + 9] = 1
      assert (video.labels(t) != expected).mean() < 0.02  # JPEG smears edges
    frame = (
      folder / "images/00011.png"
      if category == "cat"
      else masks_tree.parent
      / "youtube_objects/train/data/0002/shots/001"
      / "frame0011.jpg"
    )
    assert video.frames[10].frame == frame.read_bytes()


def test_images_hold_their_boxes(run, boxes_tree):
  splits = run(boxes_tree, "boxes")
  assert {split: set(videos) for split, videos in splits.items()} == {
    "train": {"cat_00000001", "cat_00000022"},
    "test": {"cat_00000333"},
  }
  video = splits["test"]["cat_00000333"]
  assert (
    video.frames[0].boxes == (boxes_tree / "Annotations/cat_00000333.xml").read_bytes()
  )
  assert video.boxes(0) == [
    Box("cat", 0, 2, 4, 7, difficult=False),
    Box("cat", 1, 0, 6, 2, difficult=True),
  ]
  assert video.labels(0) is None


def test_every_shot_of_the_videos_is_a_record(run, masks_tree):
  root = masks_tree.parent / "youtube_objects"
  shot = root / "train/data/0002/shots/001"
  (root / "cat/data/0007/shots").mkdir(parents=True)
  (root / "cat/data/0007/shots/003").symlink_to(shot)
  (root / "cat/data/0007/shots/012").symlink_to(shot)
  videos = run(root, "videos")["train"]
  assert {name: video.categories for name, video in videos.items()} == {
    "train/0002/001": {1: "train"},
    "cat/0007/003": {1: "cat"},
    "cat/0007/012": {1: "cat"},
  }
  for t, frame in enumerate(sorted(shot.iterdir())):
    assert videos["cat/0007/012"].frames[t].frame == frame.read_bytes()
    assert videos["cat/0007/012"].labels(t) is None


def test_videos_without_shots_and_shots_without_frames_are_named(
  run, masks_tree, capsys
):
  root = masks_tree.parent / "youtube_objects"
  for folder in ("0007/shots/012", "0008", "0009"):
    (root / "cat/data" / folder).mkdir(parents=True)
  assert run(root, "videos") is None
  message = capsys.readouterr().err
  assert "cat: 3 videos, expected 1 to 2" in message
  assert "cat/data/0007/shots/012: no frames" in message
  assert "cat/data/0008: no shots" in message


def test_what_is_missing_is_named(run, masks_tree, boxes_tree, capsys):
  (masks_tree / "cat/data/0001/shots/001/images/00011.png").unlink()
  (masks_tree / "train/data/0002").rename(masks_tree / "elsewhere")
  assert run(masks_tree, "masks") is None
  message = capsys.readouterr().err
  assert "cat/data/0001/shots/001: no frame 11" in message
  assert "train: 0 of 1 annotated shots" in message
  (boxes_tree / "JPEGImages/cat_00000022.jpg").unlink()
  (boxes_tree / "ImageSets/Main/testYTO.txt").unlink()
  assert run(boxes_tree, "boxes") is None
  message = capsys.readouterr().err
  assert "JPEGImages/cat_00000022.jpg" in message
  assert "test: 0 of 1 images" in message
