"""Several processes predict or score a dataset together, from outside."""

import signal
import time

import pytest

# Mode -> the list of videos, what shows that some of the work is done, and the signal.
MODES = {
  "predict": ("test-dev", "predictions", signal.SIGKILL),
  "evaluate": ("val", "eval/unfinished", signal.SIGTERM),
}


def files(folder):
  """Contents of all files by path."""
  return {
    path.relative_to(folder).as_posix(): path.read_bytes()
    for path in sorted(folder.rglob("*"))
    if path.is_file()
  }


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_two_processes_one_of_which_is_killed_write_what_one_writes(
  mode, trained, davis, tmp_path, start_together, end_together
):
  subset, part, signum = MODES[mode]

  def start(folder, num_processes, num_devices):
    command = [
      *("-m", "vosjax", "train", "agame:paper", f"--workdir={folder}"),
      *(f"--config.mode={mode}", f"--config.evaluation.subset={subset}"),
      *(f"--config.data.root={davis}", "--config.evaluation.num_previews=1"),
      f"--config.evaluation.checkpoint={trained('agame').path}",
    ]
    return start_together(command, num_processes, num_devices)

  codes, _, errors = end_together(start(tmp_path / "one", 1, 1))
  assert codes == [0], errors
  together = tmp_path / "two"
  processes = start(together, 2, 2)
  while all(p.poll() is None for p in processes) and not files(together / part):
    time.sleep(0.01)
  processes[1].send_signal(signum)
  codes, _, errors = end_together(processes)
  assert all(codes), errors
  codes, said, errors = end_together(start(together, 2, 2))
  assert codes == [0, 0], errors
  assert " 2 videos" in said[0]
  assert " videos" not in said[1]
  expected = files(tmp_path / "one")
  assert len(expected) == {"predict": 2 + 8, "evaluate": 1 + 4 + 2}[mode]
  assert files(together) == expected
