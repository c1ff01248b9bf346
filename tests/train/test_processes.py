"""A run of two processes, from outside."""

import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import pytest

from vosjax import checkpoints
from vosjax.train.writers import read_metrics

ROOT = pathlib.Path(__file__).resolve().parents[2]


def start_both(workdir):
  """Two processes with one device each."""
  with socket.socket() as free:
    free.bind(("localhost", 0))
    port = free.getsockname()[1]
  command = [
    sys.executable,
    "-m",
    "vosjax.main",
    f"--config={ROOT}/configs/agame.py:smoke",
    f"--workdir={workdir}",
    f"--coordinator=localhost:{port}",
    "--num_processes=2",
  ]
  environment = os.environ | {"PYTHONPATH": str(ROOT), "XLA_FLAGS": ""}
  return [
    subprocess.Popen(
      [*command, f"--process_id={i}"],
      env=environment,
      text=True,
      stdout=subprocess.PIPE,
      stderr=subprocess.PIPE,
    )
    for i in range(2)
  ]


def end(processes):
  """Exit codes, standard outputs and errors, once both have ended."""
  try:
    texts = [process.communicate(timeout=400) for process in processes]
  finally:
    for process in processes:
      process.kill()
  return [process.returncode for process in processes], *zip(*texts)


@pytest.mark.slow
def test_two_processes_stop_together_and_resume_to_the_end(tmp_path):
  processes = start_both(tmp_path)
  while processes[0].poll() is None and not read_metrics(tmp_path):
    time.sleep(0.01)
  processes[1].send_signal(signal.SIGTERM)  # the first one hears of it
  codes, _, errors = end(processes)
  assert codes == [128 + signal.SIGTERM] * 2, errors
  codes, said, errors = end(start_both(tmp_path))
  assert codes == [0, 0], errors
  assert "resuming its run" in said[0]
  assert "this model" in said[0]
  assert "this model" not in said[1]
  logged = [line["step"] for line in read_metrics(tmp_path) if "loss" in line]
  assert logged == [5, 10, 15, 20]
  checkpoints.load(tmp_path / "model")


@pytest.mark.slow
def test_when_one_process_fails_the_other_does_not_wait(tmp_path):
  (tmp_path / "thesis.txt").touch()
  began = time.monotonic()
  codes, _, errors = end(start_both(tmp_path))
  assert codes[0] == 2
  assert "exists but holds no run" in errors[0].splitlines()[-1]
  assert codes[1] != 0
  assert time.monotonic() - began < 200  # they would wait for 300 s
