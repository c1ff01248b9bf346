"""Models are scored on prepared datasets, which equal the folders they came from."""

import importlib
import json
import pathlib
import runpy

import jax
import numpy as np
import pytest
from PIL import Image

from vosjax import checkpoints, models
from vosjax.data.formats.youtube_vos import YoutubeVosFolder
from vosjax.data.records.videos import PreparedFolder
from vosjax.train import run

pytestmark = pytest.mark.filterwarnings("default")  # tfds and its dependencies

ROOT = pathlib.Path(__file__).resolve().parents[1]
SMALL = {"backbone": "resnet18", "width": 4, "features": 8}
FIELDS = {
  "cosnet": SMALL | {"branch_features": 4, "rates": (1, 2), "size": (32, 48)},
  "agame": SMALL | {"fusion_features": 8},
}


@pytest.fixture
def export(build):
  del build  # puts datasets/ on the path
  return importlib.import_module("export")


@pytest.fixture
def scores(tmp_path):
  """Scores a small network with random weights."""

  def make(variant, workdir, *, data=(), **evaluation):
    name = variant.partition(":")[0]
    checkpoint = tmp_path / name
    if not checkpoint.exists():
      shapes = checkpoints.variable_shapes(models.build(name, **FIELDS[name]))
      rng = np.random.default_rng(0)
      noise = jax.tree.map(
        lambda x: rng.uniform(0.01, 0.1, x.shape).astype(np.float32), shapes
      )
      if name == "agame":  # close to the threshold of foreground
        noise["params"]["refinement"]["head"]["bias"][:] = 0, 0.1
      checkpoints.save(checkpoint, name, FIELDS[name], noise)
    config = runpy.run_path(str(ROOT / f"configs/{name}.py"))["get_config"](
      variant.partition(":")[2]
    )
    config.mode = "evaluate"
    config.data.update(data)
    config.evaluation.update(evaluation, checkpoint=str(checkpoint), num_previews=0)
    run.run(config, str(tmp_path / workdir))
    return json.loads((tmp_path / workdir / "eval/results.json").read_text())

  return make


def prepared(tmp_path, name):
  """The version folder of the only configuration that was built."""
  [info] = (tmp_path / "prepared" / name).rglob("dataset_info.json")
  return info.parent


def assert_same_videos(prepared, folder):
  assert [video.name for video in prepared] == [video.name for video in folder]
  for ours, theirs in zip(prepared, folder):
    assert ours.frame_names == theirs.frame_names
    assert ours.annotated_frames == theirs.annotated_frames
    assert ours.categories == theirs.categories
    for t in range(len(ours)):
      np.testing.assert_array_equal(ours.frame(t), theirs.frame(t))
      np.testing.assert_array_equal(ours.labels(t), theirs.labels(t))


def test_fbms(build_videos, export, scores, fbms_tree, tmp_path):
  build_videos("fbms", fbms_tree, NUM_VIDEOS={"train": 1, "test": 1})
  records = prepared(tmp_path, "fbms")
  ours = scores("cosnet:fbms", "records", data={"root": str(records)})
  [row] = ours["rows"]
  assert (row["name"], row["frames"]) == ("tennis", ["tennis005"])
  assert all(row["J"]["mean"] for row in ours["rows"])
  assert export.main([str(records), "--out", str(tmp_path / "FBMS59")]) == 0
  exported = YoutubeVosFolder(str(tmp_path / "FBMS59"), "test", every_frame=True)
  assert_same_videos(PreparedFolder(str(records), "test"), exported)


@pytest.fixture
def youtube_vos_tree(tmp_path):
  """One video in each of two splits; a late object has another category in each."""
  root = tmp_path / "YouTubeVOS"
  for split, name, category in (("train", "a1", "owl"), ("valid", "b2", "yak")):
    for t in range(0, 20, 5):
      labels = np.zeros((32, 48), np.uint8)
      labels[4:20, 4 + t : 20 + t] = 1
      labels[16:28, 30:44] = 2 * (t > 0)
      for folder, pixels, suffix in (
        ("JPEGImages", labels[..., None] * np.uint8([90, 30, 70]), "jpg"),
        ("Annotations", labels, "png"),
      ):
        path = root / f"{split}/{folder}/{name}/{t:05}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    frames = [f"{t:05}" for t in range(0, 20, 5)]
    meta = {
      name: {
        "objects": {
          "1": {"category": "cat", "frames": frames},
          "2": {"category": category, "frames": frames[1:]},
        }
      }
    }
    (root / split / "meta.json").write_text(json.dumps({"videos": meta}))
  return root


def test_youtube_vos(
  build, build_videos, monkeypatch, scores, youtube_vos_tree, tmp_path
):
  for config in build.builder_class("youtube_vos").BUILDER_CONFIGS:
    monkeypatch.setattr(config, "num_videos", {"train": 1, "validation": 1})
  build_videos("youtube_vos", youtube_vos_tree)
  records = prepared(tmp_path, "youtube_vos")
  ours = scores(
    "agame:paper",
    "records",
    data={"youtube_vos": str(records)},
    dataset="youtube_vos",
    subset="valid",
  )
  assert [row["name"] for row in ours["rows"]] == ["b2_1", "b2_2"]
  assert [row["category"] for row in ours["rows"]] == ["cat", "yak"]
  assert ours["rows"][1]["frames"] == ["00010", "00015"]
  for row, part in zip(ours["rows"], ("Seen", "Unseen")):
    assert ours["summary"][f"J-{part}"] == row["J"]["mean"]
  assert any(row["J"]["mean"] for row in ours["rows"])
  assert_same_videos(
    PreparedFolder(str(records), "validation"),
    YoutubeVosFolder(str(youtube_vos_tree), "valid", every_frame=True),
  )
  assert [video.name for video in PreparedFolder(str(records), "train[:1]")] == ["a1"]


def test_a_missing_split_is_named(build_videos, scores, fbms_tree, tmp_path):
  build_videos("fbms", fbms_tree, NUM_VIDEOS={"train": 1, "test": 1})
  root = {"root": str(prepared(tmp_path, "fbms"))}
  with pytest.raises(ValueError, match="'validation'.*'test'"):
    scores("cosnet:fbms", "records", data=root, subset="val")
