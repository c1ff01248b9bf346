"""A run of two processes, from outside."""

import signal
import time

import pytest

from vosjax import checkpoints
from vosjax.train.writers import read_metrics


@pytest.fixture
def start_both(start_together, tmp_path):
  """Starts two processes with one device each."""
  command = ["-m", "vosjax", "train", "agame:smoke", f"--workdir={tmp_path}"]
  return lambda: start_together(command, 2, 1)


@pytest.mark.slow
def test_two_processes_stop_together_and_resume_to_the_end(
  start_both, end_together, tmp_path
):
  processes = start_both()
  while processes[0].poll() is None and not read_metrics(tmp_path):
    time.sleep(0.01)
  processes[1].send_signal(signal.SIGTERM)  # the first one hears of it
  codes, _, errors = end_together(processes)
  assert codes == [128 + signal.SIGTERM] * 2, errors
  codes, said, errors = end_together(start_both())
  assert codes == [0, 0], errors
  assert "resuming its run" in said[0]
  assert "this model" in said[0]
  assert "this model" not in said[1]
  logged = [line["step"] for line in read_metrics(tmp_path) if "loss" in line]
  assert logged == [5, 10, 15, 20]
  checkpoints.load(tmp_path / "model")


@pytest.mark.slow
def test_when_one_process_fails_the_other_does_not_wait(
  start_both, end_together, tmp_path
):
  (tmp_path / "thesis.txt").touch()
  began = time.monotonic()
  codes, _, errors = end_together(start_both())
  assert codes[0] == 2
  assert "exists but holds no run" in errors[0].splitlines()[-1]
  assert codes[1] != 0
  assert time.monotonic() - began < 200  # they would wait for 300 s
