"""The FBMS builder follows the definition files, and keeps every byte."""

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.filterwarnings("default")  # tfds and its dependencies


@pytest.fixture
def run(build_videos):
  return lambda root: build_videos("fbms", root, NUM_VIDEOS={"train": 1, "test": 1})


def test_gray_truth_has_a_black_background(run, fbms_tree):
  video = run(fbms_tree)["train"]["cars2"]
  assert video.frame_names == tuple(f"cars2_{t:02}" for t in range(1, 12))
  assert list(video.objects) == [1, 2]
  for t in range(11):
    frame = fbms_tree / f"Trainingset/cars2/cars2_{t + 1:02}.jpg"
    assert video.frames[t].frame == frame.read_bytes()
    if t + 1 not in (1, 10):
      assert video.labels(t) is None
      continue
    truth = fbms_tree / f"Trainingset/cars2/GroundTruth/cars2_{t + 1:02}.pgm"
    assert video.mask_files(t) == [truth.read_bytes()]
    np.testing.assert_array_equal(video.labels(t), np.asarray(Image.open(truth)) // 85)


def test_colour_truth_has_a_white_background_and_ignores_what_is_not_listed(
  run, fbms_tree
):
  video = run(fbms_tree)["test"]["tennis"]
  annotated = [t for t in range(len(video)) if video.labels(t) is not None]
  assert annotated == [4]
  expected = np.array([0, 1, 2, 0], np.uint8)[np.arange(54).reshape(6, 9) % 4]
  np.testing.assert_array_equal(video.labels(4), expected)


def test_what_is_missing_is_named_all_at_once(run, fbms_tree, capsys):
  (fbms_tree / "Trainingset/cars2/GroundTruth/cars2_10.pgm").unlink()
  (fbms_tree / "Testset/tennis/tennis005.jpg").unlink()
  (fbms_tree / "Testset/dogs01").mkdir()
  assert run(fbms_tree) is None
  message = capsys.readouterr().err
  assert "Trainingset/cars2/GroundTruth/cars2_10.pgm" in message
  assert "Testset/tennis: the frame of tennis005_gt.ppm" in message
  assert "Testset: 2 of 1 videos" in message
  assert "Testset/dogs01: 0 frames and 0 files GroundTruth/*.dat" in message


def test_a_definition_that_contradicts_itself_is_refused(run, fbms_tree, capsys):
  path = fbms_tree / "Trainingset/cars2/GroundTruth/cars2Def.dat"
  path.write_text(path.read_text().replace("regions:\n3", "regions:\n4"))
  assert run(fbms_tree) is None
  assert "cars2Def.dat: not a definition file of FBMS" in capsys.readouterr().err
