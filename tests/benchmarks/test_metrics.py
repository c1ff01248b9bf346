"""`vosjax benchmark metrics`: every figure, from masks that look like masks."""

import json

import numpy as np
import pytest

from vosjax import metrics
from vosjax.__main__ import main
from vosjax.benchmarks import metrics as benchmark


def test_every_measure_is_timed_beside_the_official_one(tmp_path, capsys):
  file = tmp_path / "metrics.json"
  assert (
    main(
      [
        "benchmark",
        "metrics",
        "--size",
        "48x64",
        "--objects",
        "2",
        "--frames",
        "4",
        "--json",
        str(file),
      ]
    )
    == 0
  )
  result = json.loads(file.read_text())
  assert set(result["milliseconds"]) == set(benchmark.OFFICIAL)
  for name, official in benchmark.OFFICIAL.items():
    ratio = official / result["milliseconds"][name]
    assert result["times_faster"][name] == pytest.approx(ratio)
  lines = capsys.readouterr().out.splitlines()
  assert lines[0].startswith("metrics, 48x64, 2 object(s), 4 frames")
  assert len(lines) == 2 + len(benchmark.OFFICIAL)


def test_drawn_predictions_are_near_the_truth_but_not_equal():
  truth = benchmark.draw((120, 160), 2, 3, seed=0)
  predicted = benchmark.draw((120, 160), 2, 3, seed=0, wobble=3.0)
  assert set(np.unique(truth)) == {0, 1, 2, 3}
  for i in (1, 2, 3):
    assert 0.5 < metrics.region_similarity(predicted[1] == i, truth[1] == i) < 1
