"""The alternating schedule against the released program's table."""

import pytest

from vosjax.train.alternation import is_still_step, learning_rates


def test_rates_and_kinds_of_steps(golden):
  case = golden("cosnet/golden_schedule.npz")
  per_epoch, epochs = int(case["iterations_per_epoch"]), int(case["epochs"])
  for epoch, i, _, encoder, heads, still in case["rows_f64"]:
    assert is_still_step(int(i)) == bool(still)
    rates = learning_rates(int(epoch * per_epoch + i), per_epoch, epochs)
    assert rates.encoder == pytest.approx(encoder, rel=1e-9)
    assert rates.heads == pytest.approx(heads, rel=1e-9)
