"""`config.mode=evaluate` on a folder in DAVIS layout, with a checkpoint by its name."""

import csv
import json

import numpy as np
import pytest
from PIL import Image

import vosjax
from vosjax.train import run
from vosjax.train.scoring import previews


def evaluate(get_config, davis, checkpoint, workdir, year):
  config = get_config("agame:smoke")
  config.mode = "evaluate"
  config.data.update(root=str(davis), year=year, resolution="480p")
  config.evaluation.update(
    checkpoint=checkpoint, dataset="davis", num_videos=0, num_previews=1
  )
  run.run(config, str(workdir))


def by_hand(network, sets, davis, year):
  """Mean J of each object over the scored frames, the same in both videos."""
  truth, options = [sets.truth(t) for t in range(5)], {}
  if year == "2016":
    truth, options = [x > 0 for x in truth], {"recurrence": "fine"}
  frames = [
    np.asarray(Image.open(davis / f"JPEGImages/480p/bear/{t:05}.jpg")) for t in range(5)
  ]
  segmenter = vosjax.VideoSegmenter(network.model, network.variables, **options)
  segmenter.start(frames[0], truth[0].astype(np.uint8))
  predicted = [segmenter.step(frame).labels for frame in frames[1:]]
  similarity = vosjax.metrics.region_similarity
  return [
    np.mean([similarity(predicted[t - 1] == i, truth[t] == i) for t in (1, 2, 3)])
    for i in np.unique(truth[0])[1:]
  ]


@pytest.mark.parametrize(
  ("year", "rows"),
  [
    ("2016", ["bear", "tree"]),
    ("2017", ["bear_1", "bear_2", "tree_1", "tree_2"]),
  ],
)
def test_a_checkpoint_is_scored_by_the_protocol_of_the_year(
  get_config, trained, sets, davis, tmp_path, monkeypatch, year, rows
):
  shown = []
  write = previews.write_preview

  def spy(folder, predicted, video):
    shown.append(video.name)
    write(folder, predicted, video)

  monkeypatch.setattr(previews, "write_preview", spy)
  workdir = tmp_path / "run"
  evaluate(get_config, davis, trained("agame").path, workdir, year)
  expected = by_hand(trained("agame"), sets, davis, year)
  assert 0 < np.mean(expected) < 1
  assert shown == ["bear"]  # as the model sees it, not as its baseline does
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
