"""Several processes predict a dataset together, from outside."""

import os
import pathlib
import socket
import subprocess
import sys
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[3]


def start(config, workdir, count):
  """Processes with two fake devices each."""
  with socket.socket() as free:
    free.bind(("localhost", 0))
    port = free.getsockname()[1]
  command = [
    sys.executable,
    "-m",
    "vosjax.main",
    f"--config={ROOT}/configs/agame.py:paper",
    f"--workdir={workdir}",
    "--config.mode=predict",
    "--config.evaluation.subset=test-dev",
    f"--config.data.root={config.data.root}",
    f"--config.evaluation.checkpoint={config.evaluation.checkpoint}",
  ]
  together = [f"--coordinator=localhost:{port}", f"--num_processes={count}"]
  flags = "--xla_force_host_platform_device_count=2"
  environment = os.environ | {"PYTHONPATH": str(ROOT), "XLA_FLAGS": flags}
  return [
    subprocess.Popen(
      [*command, *([*together, f"--process_id={i}"] if count > 1 else [])],
      env=environment,
      text=True,
      stdout=subprocess.PIPE,
      stderr=subprocess.PIPE,
    )
    for i in range(count)
  ]


def end(processes):
  """Exit codes, outputs and errors, once all have ended."""
  try:
    texts = [process.communicate(timeout=400) for process in processes]
  finally:
    for process in processes:
      process.kill()
  return [process.returncode for process in processes], *zip(*texts)


def masks(workdir):
  """Contents of all files by path."""
  root = workdir / "predictions"
  return {
    path.relative_to(root).as_posix(): path.read_bytes()
    for path in sorted(root.rglob("*"))
    if path.is_file()
  }


@pytest.mark.slow
def test_two_processes_one_of_which_is_killed_write_what_one_writes(
  get_config, trained, davis, tmp_path
):
  config = get_config("agame:paper")
  config.data.root = str(davis)
  config.evaluation.checkpoint = trained("agame").path
  codes, _, errors = end(start(config, tmp_path / "one", 1))
  assert codes == [0], errors
  expected = masks(tmp_path / "one")
  assert len(expected) == 8

  together = tmp_path / "two"
  processes = start(config, together, 2)
  while all(p.poll() is None for p in processes) and not masks(together):
    time.sleep(0.01)
  processes[1].kill()
  codes, _, errors = end(processes)
  assert all(codes), errors
  codes, said, errors = end(start(config, together, 2))
  assert codes == [0, 0], errors
  assert "2 videos into" in said[0]
  assert "videos into" not in said[1]
  assert masks(together) == expected
