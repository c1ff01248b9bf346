"""`config.mode=evaluate` on a folder in DAVIS layout, with a checkpoint by its name."""

import copy
import csv
import json

import numpy as np
import pytest
from PIL import Image

import vosjax
from vosjax import checkpoints
from vosjax.train import run
from vosjax.train.configs.agame import get_config

FIELDS = {"backbone": "resnet18", "width": 4, "features": 8, "fusion_features": 8}
NAMES = ("bear", "tree")


def draw(t):
  """A frame, and labels of two objects of which the first moves to the right."""
  frame = np.full((48, 64, 3), 60, np.uint8)
  labels = np.zeros((48, 64), np.uint8)
  labels[6:30, 2 + 4 * t : 26 + 4 * t] = 1
  labels[24:44, 36:60] = 2
  frame[labels == 1] = (250, 120, 30)
  frame[labels == 2] = (20, 200, 240)
  return frame, labels


@pytest.fixture
def davis(tmp_path):
  """Root of two videos of three frames; only the second frame counts."""
  root = tmp_path / "DAVIS"
  for kind, suffix in (("JPEGImages", "jpg"), ("Annotations", "png")):
    for name in NAMES:
      folder = root / kind / "480p" / name
      folder.mkdir(parents=True)
      for t in range(3):
        picture = Image.fromarray(draw(t)[suffix == "png"])
        if suffix == "png":
          picture.putpalette(bytes(range(256)) * 3)
        picture.save(folder / f"{t:05}.{suffix}")
  for year in ("2016", "2017"):
    (root / "ImageSets" / year).mkdir(parents=True)
    (root / "ImageSets" / year / "val.txt").write_text("\n".join(NAMES))
  return root


@pytest.fixture(scope="module")
def network(tiny):
  """The small network, on the point of seeing foreground here and background there."""
  model, variables = tiny
  variables = copy.deepcopy(variables)
  variables["params"]["refinement"]["head"]["bias"] = np.float32([-0.1, 0.1])
  return model, variables


@pytest.fixture
def checkpoint(network, tmp_path):
  checkpoints.save(tmp_path / "checkpoint", "agame", FIELDS, network[1])
  return tmp_path / "checkpoint"


def evaluate(davis, checkpoint, workdir, year):
  config = get_config("smoke")
  config.mode = "evaluate"
  config.data.update(root=str(davis), year=year, resolution="480p")
  config.evaluation.update(
    checkpoint=str(checkpoint), dataset="davis", num_videos=0, num_previews=1
  )
  run.run(config, str(workdir))


def by_hand(network, davis, year):
  """J of each object in the second frame, which is the same in both videos."""
  frames = [
    np.asarray(Image.open(davis / f"JPEGImages/480p/bear/{t:05}.jpg")) for t in range(2)
  ]
  first, second = (draw(t)[1] for t in range(2))
  options = {}
  if year == "2016":
    first, second, options = first > 0, second > 0, {"recurrence": "fine"}
  segmenter = vosjax.VideoSegmenter(*network, **options)
  segmenter.start(frames[0], first.astype(np.uint8))
  predicted = segmenter.step(frames[1]).labels
  ids = np.unique(second)[1:]
  similarity = vosjax.metrics.region_similarity
  return [similarity(predicted == i, second == i) for i in ids]


@pytest.mark.parametrize(
  ("year", "rows"),
  [
    ("2016", ["bear", "tree"]),
    ("2017", ["bear_1", "bear_2", "tree_1", "tree_2"]),
  ],
)
def test_a_checkpoint_is_scored_by_the_protocol_of_the_year(
  network, davis, checkpoint, tmp_path, year, rows
):
  workdir = tmp_path / "run"
  evaluate(davis, checkpoint, workdir, year)
  expected = by_hand(network, davis, year)
  assert 0 < np.mean(expected) < 1
  text = (workdir / "eval/summary.json").read_text()
  summary = json.loads(text, parse_constant=pytest.fail)  # NaN is no JSON
  assert summary["this model"]["J-Mean"] == pytest.approx(np.mean(expected))
  assert 0.5 < summary["copy the first mask"]["J-Mean"] < 1
  with (workdir / "eval/per-sequence_results.csv").open() as file:
    table = list(csv.DictReader(file))
  assert [line["Sequence"] for line in table] == rows
  found = [float(line["J-Mean"]) for line in table]
  assert found == pytest.approx(2 * expected, abs=6e-4)  # three decimals
  assert (workdir / "preview/bear.png").is_file()
  assert not (workdir / "preview/tree.png").exists()
