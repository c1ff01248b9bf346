"""The FBMS builder follows the definition files, and keeps every byte."""

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.filterwarnings("default")  # tfds and its dependencies

WHITE, RED, BLUE = (255, 255, 255), (255, 0, 0), (0, 0, 255)


def definition(values, files, num_frames):
  """A definition file as the set has them, line ends of Windows included."""
  lines = ["Ground truth definition file; do not change!", "",
           "Total number of regions:", str(len(values))]
  for i, value in enumerate(values):
    lines += [f"Scale of region {i}:", str(value)]
  lines += ["Confusion penality matrix:", "0 1 1", "1 0 1", "1 1 0", "",
            "Total number of frames in this shot:", str(num_frames),
            "Total number of labeled frames for this shot:", str(len(files))]
  for number, name in files.items():
    lines += ["Frame number:", str(number - 1), "File name:", name,
              "Input file name:", name.replace("_gt", "").replace(".pgm", ".ppm")]
  return "\r\n".join(lines) + "\r\n"


@pytest.fixture
def tree(tmp_path):
  root = tmp_path / "FBMS"
  rng = np.random.default_rng(0)
  for folder, name, stem in (("Trainingset", "cars2", "cars2_{:02}"),
                             ("Testset", "tennis", "tennis{:03}")):
    truth = root / folder / name / "GroundTruth"
    truth.mkdir(parents=True)
    for t in range(1, 12):
      Image.fromarray(rng.integers(0, 256, (6, 9, 3), np.uint8)).save(
          root / folder / name / f"{stem.format(t)}.jpg")
  truth = root / "Trainingset/cars2/GroundTruth"
  for t in (1, 10):
    Image.fromarray(rng.choice([0, 85, 170], (6, 9)).astype(np.uint8)).save(
        truth / f"cars2_{t:02}.pgm")
  (truth / "cars2Def.dat").write_text(definition(
      (0, 85, 170), {1: "cars2_01.pgm", 10: "cars2_10.pgm"}, 11), newline="")
  truth = root / "Testset/tennis/GroundTruth"
  Image.fromarray(np.array([WHITE, RED, BLUE, (1, 2, 3)], np.uint8)[
      np.arange(54).reshape(6, 9) % 4]).save(truth / "tennis005_gt.ppm")
  (truth / "tennis005_PROB_gt.ppm").write_bytes(b"of no concern")
  (truth / "tennisDef.dat").write_text(definition(
      (0xFF0000, 0xFFFFFF, 0x0000FF), {5: "tennis005_gt.ppm"}, 11), newline="")
  return root


@pytest.fixture
def run(build_videos):
  return lambda root: build_videos("fbms", root, NUM_VIDEOS={"train": 1, "test": 1})


def test_grey_truth_has_a_black_background(run, tree):
  video = run(tree)["train"]["cars2"]
  assert video.frame_names == tuple(f"cars2_{t:02}" for t in range(1, 12))
  assert list(video.objects) == [1, 2]
  for t in range(11):
    frame = tree / f"Trainingset/cars2/cars2_{t + 1:02}.jpg"
    assert video.frames[t].frame == frame.read_bytes()
    if t + 1 not in (1, 10):
      assert video.labels(t) is None
      continue
    truth = tree / f"Trainingset/cars2/GroundTruth/cars2_{t + 1:02}.pgm"
    assert video.mask_files(t) == [truth.read_bytes()]
    np.testing.assert_array_equal(video.labels(t), np.asarray(Image.open(truth)) // 85)


def test_colour_truth_has_a_white_background_and_ignores_what_is_not_listed(run, tree):
  video = run(tree)["test"]["tennis"]
  annotated = [t for t in range(len(video)) if video.labels(t) is not None]
  assert annotated == [4]
  expected = np.array([0, 1, 2, 0], np.uint8)[np.arange(54).reshape(6, 9) % 4]
  np.testing.assert_array_equal(video.labels(4), expected)


def test_what_is_missing_is_named_all_at_once(run, tree, capsys):
  (tree / "Trainingset/cars2/GroundTruth/cars2_10.pgm").unlink()
  (tree / "Testset/tennis/tennis005.jpg").unlink()
  (tree / "Testset/dogs01").mkdir()
  assert run(tree) is None
  message = capsys.readouterr().err
  assert "Trainingset/cars2/GroundTruth/cars2_10.pgm" in message
  assert "Testset/tennis: the frame of tennis005_gt.ppm" in message
  assert "Testset: 2 of 1 videos" in message
  assert "Testset/dogs01: 0 frames and 0 files GroundTruth/*.dat" in message


def test_a_definition_that_contradicts_itself_is_refused(run, tree, capsys):
  path = tree / "Trainingset/cars2/GroundTruth/cars2Def.dat"
  path.write_text(path.read_text().replace("regions:\n3", "regions:\n4"))
  assert run(tree) is None
  assert "cars2Def.dat: no definition file of FBMS" in capsys.readouterr().err
