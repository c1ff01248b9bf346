"""Training on several hosts, which are told to stop.

Four processes of two fake devices each stand for four hosts.
"""

import signal
import time

import numpy as np
import pytest

from vosjax.train.interrupt import STEPS_TO_AGREE
from vosjax.train.writers import read_metrics

HOSTS, DEVICES, STEPS = 4, 2, 30
TRAIN = (
  *("-m", "vosjax", "train", "agame:smoke", "--config.stages.main.batch_size=8"),
  *(f"--config.stages.main.num_steps={STEPS}", "--config.log.every_steps=1"),
  *("--config.validation.every_steps=12", "--config.checkpoint.every_steps=12"),
)


@pytest.fixture(scope="module")
def train(start_together, end_together):
  """Trains in a folder, sends SIGTERM to some hosts after a step; returns the codes."""

  def run(folder, stop=(), after=0):
    hosts = start_together([*TRAIN, f"--workdir={folder}"], HOSTS, DEVICES)
    while stop and hosts[0].poll() is None:
      if any(line["step"] >= after for line in read_metrics(folder)):
        break
      time.sleep(0.01)
    for index in stop:
      hosts[index].send_signal(signal.SIGTERM)
    signalled = time.monotonic()
    codes, _, errors = end_together(hosts, timeout=1200)
    assert len(set(codes)) == 1, errors
    return codes[0], time.monotonic() - signalled

  return run


@pytest.fixture(scope="module")
def undisturbed(train, leaves, tmp_path_factory):
  """Parameters that an undisturbed run ends with, and the lines that it logs."""
  folder = tmp_path_factory.mktemp("undisturbed")
  code, _ = train(folder)
  assert code == 0
  return leaves(folder / "model/arrays"), read_metrics(folder)


@pytest.mark.slow
@pytest.mark.parametrize("stopped", [(2,), (0, 1, 2, 3)], ids=["one", "all"])
def test_hosts_that_are_told_to_stop_save_and_end_as_if_they_were_not(
  stopped, train, undisturbed, leaves, tell, tmp_path
):
  code, seconds = train(tmp_path, stopped, after=11)
  assert code == 128 + signal.SIGTERM
  step = read_metrics(tmp_path)[-1]["step"]
  assert step % STEPS_TO_AGREE == 0
  assert 11 <= step < STEPS
  assert (tmp_path / f"checkpoints/{step}/_CHECKPOINT_METADATA").is_file()
  code, _ = train(tmp_path)
  assert code == 0
  arrays, lines = undisturbed
  assert read_metrics(tmp_path) == lines
  for ours, theirs in zip(leaves(tmp_path / "model/arrays"), arrays, strict=True):
    np.testing.assert_array_equal(ours, theirs)
  tell(
    f"SIGTERM to {len(stopped)} of {HOSTS} hosts x {DEVICES} devices: stopped after "
    f"step {step} of {STEPS} in {seconds:.1f} s; bit-identical in the end"
  )
