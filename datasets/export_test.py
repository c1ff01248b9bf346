"""What is prepared can be scored: exported, it is the root of `vosjax evaluate`."""

import importlib
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from vosjax.__main__ import main as vosjax
from vosjax.data.codecs import images, label_images
from vosjax.data.records.videos import EncodedFrame, PreparedVideo

pytestmark = pytest.mark.filterwarnings("default")  # tfds and its dependencies


@pytest.fixture
def export(build):
  del build  # puts datasets/ on the path
  return importlib.import_module("export")


def encoded(path, pixels):
  Image.fromarray(pixels).save(path)
  return path.read_bytes()


@pytest.fixture
def videos(tmp_path):
  """A video of BMP frames with a mask for each object, and one of JPEG frames."""
  rng = np.random.default_rng(0)

  def frame(name, suffix, mask=b""):
    pixels = rng.integers(0, 256, (8, 9, 3), np.uint8)
    return EncodedFrame(name, encoded(tmp_path / f"f{suffix}", pixels), mask)

  def mask(suffix):
    pixels = np.zeros((8, 9), np.uint8)
    top, left = rng.integers(0, 4, 2)
    pixels[top : top + 4, left : left + 5] = 255
    return encoded(tmp_path / f"m{suffix}", pixels)

  return [
    PreparedVideo(
      "bmx",
      (frame("bmx_1", ".bmp"), frame("bmx_2", ".bmp")),
      "here",
      coding="layers",
      layers=tuple(mask(".bmp") for _ in range(4)),
    ),
    PreparedVideo(
      "cat/0001",
      (
        frame("00001", ".jpg", mask(".png")),
        frame("00002", ".jpg"),
        frame("00003", ".jpg", mask(".png")),
      ),
      "here",
      objects={1: {"category": "cat", "frames": ["00001"]}},
    ),
  ]


def test_frames_stay_as_they_are_and_masks_become_ids(export, videos, tmp_path):
  out = tmp_path / "out"
  export.export(videos, out)
  bmx, cat = videos
  assert (out / "JPEGImages/cat/0001/00001.jpg").read_bytes() == cat.frames[0].frame
  np.testing.assert_array_equal(
    images.read_image(out / "JPEGImages/bmx/bmx_2.png"), bmx.frame(1)
  )
  for t in range(2):
    np.testing.assert_array_equal(
      label_images.read_labels(out / f"Annotations/bmx/bmx_{t + 1}.png"), bmx.labels(t)
    )
  assert {path.name for path in out.glob("Annotations/cat/0001/*")} == {
    "00001.png",
    "00003.png",
  }
  assert json.loads((out / "meta.json").read_text()) == {
    "videos": {"cat/0001": {"objects": {"1": cat.objects[1]}}}
  }


@pytest.mark.parametrize("dataset", ["fbms", "youtube-objects", "segtrack-v2"])
def test_truth_scores_itself_fully(export, videos, tmp_path, capsys, dataset):
  out = tmp_path / "out"
  export.export(videos, out)
  (out / "meta.json").unlink()
  shutil.copytree(out / "Annotations", tmp_path / "predictions")
  assert (
    vosjax(
      [
        "evaluate",
        str(tmp_path / "predictions"),
        "--dataset",
        dataset,
        "--root",
        str(out),
        "--workers",
        "1",
      ]
    )
    == 0
  )
  assert "100.0" in capsys.readouterr().out


def test_a_folder_that_is_there_is_not_touched(export, tmp_path, capsys):
  assert export.main([str(tmp_path), "--out", str(tmp_path)]) == 2
  assert "already exists" in capsys.readouterr().err
