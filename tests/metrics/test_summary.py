"""Mean, recall and decay equal the official toolkit bit for bit."""

import numpy as np
import pytest

from vosjax import metrics
from vosjax.metrics import summary


def test_statistics_equal_the_toolkit(golden):
  cases = golden("metrics/golden_statistics.npz")
  lengths = {name.partition("/")[0] for name in cases}
  assert len(lengths) == 50
  for n in lengths:
    np.testing.assert_array_equal(summary.bin_edges(int(n)), cases[f"{n}/bin_edges"])
    np.testing.assert_array_equal(
      metrics.summarize(cases[f"{n}/values"]), cases[f"{n}/mean_recall_decay"]
    )


def test_decay_is_correct_beyond_255_frames():
  values = np.linspace(1.0, 0.0, 401)  # quarters have means 0.875 .. 0.125
  assert metrics.summarize(values).decay == pytest.approx(0.75)
  assert summary.bin_edges(401).tolist() == [0, 100, 200, 300, 400]


def test_one_half_and_nan_are_misses():
  assert metrics.summarize(np.array([0.5, np.nan, 0.6, 0.7])).recall == 0.5


def test_an_empty_series_is_refused():
  with pytest.raises(ValueError, match=r"shape \[0\]"):
    metrics.summarize(np.zeros(0))
