"""The alternating schedule against the released program's table."""

import pytest

from vosjax.train.optimizers.alternation import is_still_step, learning_rates


def test_rates_and_kinds_of_steps(golden):
  case = golden("cosnet/golden_schedule.npz")
  per_epoch, epochs = int(case["iterations_per_epoch"]), int(case["epochs"])
  for row in case["rows_f64"]:
    row = dict(zip(case["columns"].tolist(), row, strict=True))
    epoch, i = int(row["epoch"]), int(row["iteration_in_epoch"])
    assert is_still_step(i) == bool(row["is_static_step"])
    rates = learning_rates(epoch * per_epoch + i, per_epoch, epochs)
    expected = (row["lr_group0"], row["lr_group1"])
    assert tuple(rates) == pytest.approx(expected, rel=1e-12)
    assert max(rates.encoder, rates.heads / 10) == pytest.approx(row["poly_lr"])
