"""The SegTrack v2 builder keeps the masks of every object apart, and their bytes."""

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.filterwarnings("default")  # tfds and its dependencies

# Frames and masks are PNG or BMP, the set is not of one mind; folders only where a
# video has several objects.
VIDEOS = {"frog": (1, "png", ["png"]), "cheetah": (2, "bmp", ["bmp", "png"])}


@pytest.fixture
def tree(tmp_path):
  root = tmp_path / "SegTrackv2"
  rng = np.random.default_rng(0)
  (root / "ImageSets").mkdir(parents=True)
  (root / "ImageSets/all.txt").write_text("".join(f"*{name}\n" for name in VIDEOS))
  for name, (count, frame_type, mask_types) in VIDEOS.items():
    stems = [f"{name}_{t:05}" for t in range(3)]
    (root / f"ImageSets/{name}.txt").write_text("\n".join([f"{name}/", *stems]) + "\n")
    (root / "JPEGImages" / name).mkdir(parents=True)
    (root / "JPEGImages" / name / ".DS_Store").write_text("")
    for stem in stems:
      Image.fromarray(rng.integers(0, 256, (5, 7, 3), np.uint8)).save(
        root / f"JPEGImages/{name}/{stem}.{frame_type}"
      )
    for number, mask_type in enumerate(mask_types, 1):
      folder = root / "GroundTruth" / name / (str(number) if count > 1 else "")
      folder.mkdir(parents=True)
      for stem in stems:
        gray = np.where(rng.random((5, 7)) < 0.5, 255, 0).astype(np.uint8)
        Image.fromarray(np.repeat(gray[..., None], 3, 2)).save(
          folder / f"{stem}.{mask_type}"
        )
  return root


@pytest.fixture
def run(build_videos):
  return lambda root: build_videos(
    "segtrack_v2", root, NUM_OBJECTS={name: spec[0] for name, spec in VIDEOS.items()}
  )


def test_records_hold_every_mask_and_later_objects_lie_on_top(run, tree):
  videos = run(tree)["test"]
  assert set(videos) == set(VIDEOS)
  for name, video in videos.items():
    count, frame_type, mask_types = VIDEOS[name]
    assert len(video) == 3 and list(video.objects) == list(range(1, count + 1))
    for t, stem in enumerate(video.frame_names):
      frame = tree / f"JPEGImages/{name}/{stem}.{frame_type}"
      assert video.frames[t].frame == frame.read_bytes()
      np.testing.assert_array_equal(video.frame(t), np.asarray(Image.open(frame)))
      files = [
        tree
        / "GroundTruth"
        / name
        / (str(i) if count > 1 else "")
        / f"{stem}.{mask_type}"
        for i, mask_type in enumerate(mask_types, 1)
      ]
      assert video.mask_files(t) == [path.read_bytes() for path in files]
      expected = np.zeros((5, 7), np.uint8)
      for i, path in enumerate(files, 1):
        expected[np.asarray(Image.open(path))[..., 0] == 255] = i
      np.testing.assert_array_equal(video.labels(t), expected)


def test_what_is_missing_is_named_all_at_once(run, tree, capsys):
  (tree / "GroundTruth/cheetah/2/cheetah_00001.png").unlink()
  (tree / "JPEGImages/frog/frog_00002.png").unlink()
  assert run(tree) is None
  message = capsys.readouterr().err
  assert "GroundTruth/cheetah/2/cheetah_00001" in message
  assert "JPEGImages/frog/frog_00002" in message


def test_an_absent_object_or_video_is_named(run, tree, capsys):
  (tree / "GroundTruth/cheetah/2").rename(tree / "elsewhere")
  (tree / "JPEGImages/frog").rename(tree / "elsewhere_too")
  assert run(tree) is None
  message = capsys.readouterr().err
  assert "GroundTruth/cheetah: 1 of 2 objects" in message
  assert "no frames in JPEGImages/frog" in message
