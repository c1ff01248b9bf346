"""`vosjax benchmark metrics` times every measure per object, frame and proposal."""

import json
import time

import numpy as np
import pytest

from vosjax import metrics
from vosjax.__main__ import main
from vosjax.benchmarks import metrics as benchmark


def test_times_are_per_object_frame_and_proposal(tmp_path, capsys, monkeypatch):
  def call_once(function, arguments):
    function(*arguments[0])
    return 2.0

  monkeypatch.setattr(benchmark, "_median_ms", call_once)
  file = tmp_path / "metrics.json"
  arguments = [
    "--size",
    "48x64",
    "--objects",
    "2",
    "--frames",
    "4",
    "--json",
    str(file),
  ]
  assert main(["benchmark", "metrics", *arguments]) == 0
  result = json.loads(file.read_text())
  assert result["milliseconds"] == pytest.approx(
    {
      "region": 2.0,
      "contour": 2.0,
      "stability": 2.0 / 3,  # pairs of frames
      "semi_supervised": 2.0 / 8,  # frames and objects
      "unsupervised": 2.0 / 160,  # frames, objects and proposals
    }
  )
  assert result["times_faster"] == pytest.approx(
    {
      "region": 0.3,
      "contour": 1.85,
      "stability": 480.0,
      "semi_supervised": 112.0,
      "unsupervised": 960.0,
    }
  )
  lines = capsys.readouterr().out.splitlines()
  assert lines[0].startswith("metrics, 48x64, 2 object(s), 4 frames")
  assert [line.split()[-2] for line in lines[2:]] == [
    "0.3",
    "1.9",
    "112.0",
    "960.0",
    "480.0",
  ]


def test_times_are_in_milliseconds():
  assert 20 <= benchmark._median_ms(time.sleep, [(0.02,)]) < 1000


def test_synthetic_predictions_are_close_to_the_truth_but_not_equal():
  truth = benchmark.draw((120, 160), 2, 3, seed=0)
  predicted = benchmark.draw((120, 160), 2, 3, seed=0, wobble=3.0)
  assert set(np.unique(truth)) == {0, 1, 2, 3}
  for i in (1, 2, 3):
    assert 0.5 < metrics.region_similarity(predicted[1] == i, truth[1] == i) < 1
