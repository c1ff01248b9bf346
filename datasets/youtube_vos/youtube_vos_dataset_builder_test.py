"""The YouTube-VOS builder keeps bytes, ids, categories and what is seen."""

import json

import numpy as np
import pytest
from PIL import Image

from vosjax.labels import palette

pytestmark = pytest.mark.filterwarnings("default")  # tfds and its dependencies

META = {
  "train": {
    "a1": {"1": ("cat", ["00000", "00005", "00010"]), "2": ("owl", ["00010"])},
    "b2": {"1": ("owl", ["00015", "00020", "00025"])},
  },
  "valid": {
    "c3": {"1": ("cat", ["00000", "00005", "00010"]), "2": ("yak", ["00005", "00010"])}
  },
  "test": {"d4": {"1": (None, ["00000"])}},
}
FRAMES = {"a1": (0, 5, 10), "b2": (15, 20, 25), "c3": (0, 5, 10), "d4": (0, 5)}
# Validation and test hold what appears first, and nothing else.
MASKS = {"a1": (0, 5, 10), "b2": (15, 20, 25), "c3": (0, 5), "d4": (0,)}
COUNTS = {"train": 2, "validation": 1, "test": 1}


@pytest.fixture
def tree(tmp_path):
  rng = np.random.default_rng(0)
  root = tmp_path / "YouTubeVOS"
  for split, videos in META.items():
    meta = {}
    for name, objects in videos.items():
      every = range(FRAMES[name][0], FRAMES[name][-1] + 1)
      for folder, numbers in ((split, FRAMES[name]), (f"{split}_all_frames", every)):
        (root / folder / "JPEGImages" / name).mkdir(parents=True)
        for number in numbers:
          pixels = np.full((6, 8, 3), number * 5, np.uint8)
          Image.fromarray(pixels).save(
            root / folder / f"JPEGImages/{name}/{number:05}.jpg"
          )
      (root / split / "Annotations" / name).mkdir(parents=True)
      for number in MASKS[name]:
        patches = rng.integers(0, 3, (2, 2), np.uint8).repeat(3, 0).repeat(4, 1)
        labels = Image.fromarray(patches)
        labels.putpalette(palette().tobytes())
        labels.save(root / split / f"Annotations/{name}/{number:05}.png")
      meta[name] = {
        "objects": {
          i: ({"category": category} if category else {}) | {"frames": frames}
          for i, (category, frames) in objects.items()
        }
      }
    (root / split / "meta.json").write_text(json.dumps({"videos": meta}))
  return root


@pytest.fixture
def run(build, build_videos, monkeypatch):
  """Builds with the counts of the dummy tree."""

  def build_tree(root, config="2018"):
    for known in build.builder_class("youtube_vos").BUILDER_CONFIGS:
      monkeypatch.setattr(known, "num_videos", COUNTS)
    return build_videos("youtube_vos", root, config=config)

  return build_tree


@pytest.mark.parametrize("config", ["2018", "2019", "2019_all_frames"])
def test_records_hold_the_files_and_what_meta_says(run, tree, config):
  splits = run(tree, config)
  everything = config.endswith("all_frames")
  for split, folder in (("train", "train"), ("validation", "valid"), ("test", "test")):
    frames_root = tree / (f"{folder}_all_frames" if everything else folder)
    assert set(splits[split]) == set(META[folder])
    for name, video in splits[split].items():
      files = sorted((frames_root / "JPEGImages" / name).iterdir())
      assert video.frame_names == tuple(path.stem for path in files)
      assert (len(files) == len(FRAMES[name])) != everything
      for t, path in enumerate(files):
        assert video.frames[t].frame == path.read_bytes()
        mask = tree / folder / f"Annotations/{name}/{path.stem}.png"
        if int(path.stem) in MASKS[name]:
          assert video.mask_files(t) == [mask.read_bytes()]
          np.testing.assert_array_equal(video.labels(t), np.asarray(Image.open(mask)))
        else:
          assert video.labels(t) is None
  video = splits["validation"]["c3"]
  assert video.categories == {1: "cat", 2: "yak"}
  assert video.seen == {1: True, 2: False}
  assert video.objects[2]["frames"] == ["00005", "00010"]
  assert splits["test"]["d4"].categories == splits["test"]["d4"].seen == {}


def test_without_training_set_nothing_is_said_to_be_seen(run, tree):
  (tree / "train").rename(tree / "elsewhere")
  splits = run(tree)
  assert set(splits) == {"validation", "test"}
  assert splits["validation"]["c3"].seen == {}


def test_what_is_missing_is_named_all_at_once(run, tree, capsys):
  (tree / "valid/JPEGImages/c3/00010.jpg").unlink()
  (tree / "train/Annotations/a1/00005.png").unlink()
  for path in (tree / "test/Annotations/d4").iterdir():
    path.unlink()
  meta = json.loads((tree / "train/meta.json").read_text())
  del meta["videos"]["b2"]
  meta["videos"]["e5"] = {"objects": {}}
  (tree / "train/meta.json").write_text(json.dumps(meta))
  assert run(tree) is None
  message = capsys.readouterr().err
  for missing in (
    "valid/JPEGImages/c3/00010.jpg",
    "train/Annotations/a1/00005.png",
    "no annotations of d4",
    "meta.json: no objects of b2",
    "no frames in train/JPEGImages/e5",
    "train: 3 of 2 videos",
  ):
    assert missing in message
