"""Training on several hosts, which are told to stop.

Four processes of two fake devices each stand for four hosts.
"""

import pathlib
import signal
import time

import numpy as np
import pytest

from vosjax.train.interrupt import STEPS_TO_AGREE
from vosjax.train.writers import read_metrics

HOSTS, DEVICES = 4, 2
TOY = pathlib.Path(__file__).parents[1] / "train" / "toy.py"
# Arguments, number of steps, steps between two validations, and the result.
PROGRAMS = {
  "toy": ([str(TOY), "{out}"], 60, 4, "final.npz"),
  "train": (
    [
      *("-m", "vosjax", "train", "agame:smoke", "--workdir={out}"),
      *("--config.stages.main.batch_size=8", "--config.stages.main.num_steps=30"),
      *("--config.log.every_steps=1", "--config.validation.every_steps=12"),
      "--config.checkpoint.every_steps=12",
    ],
    30,
    12,
    "model/arrays",
  ),
}


@pytest.fixture(scope="module", params=PROGRAMS)
def program(request):
  return request.param


@pytest.fixture(scope="module")
def train(program, start_together, end_together):
  """Trains in a folder, sends SIGTERM to some hosts after a step.

  Returns the exit code, and the seconds from the signal to the end.
  """
  arguments, *_ = PROGRAMS[program]

  def run(folder, stop=(), after=0):
    command = [text.format(out=folder) for text in arguments]
    hosts = start_together(command, HOSTS, DEVICES)
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
def arrays(program, leaves):
  """Reads the result of a run."""
  *_, result = PROGRAMS[program]

  def read(folder):
    if result.endswith(".npz"):
      return list(dict(np.load(folder / result)).values())
    return leaves(folder / result)

  return read


@pytest.fixture(scope="module")
def undisturbed(train, arrays, tmp_path_factory):
  """What an undisturbed run ends with, and the lines that it logs."""
  folder = tmp_path_factory.mktemp("undisturbed")
  code, _ = train(folder)
  assert code == 0
  return arrays(folder), read_metrics(folder)


@pytest.mark.slow
@pytest.mark.parametrize("stopped", [(2,), (0, 1, 2, 3)], ids=["one", "all"])
def test_hosts_that_are_told_to_stop_save_and_end_as_if_they_were_not(
  stopped, program, train, arrays, undisturbed, tell, tmp_path
):
  _, steps, validated, _ = PROGRAMS[program]
  code, seconds = train(tmp_path, stopped, after=11)
  assert code == 128 + signal.SIGTERM
  step = read_metrics(tmp_path)[-1]["step"]
  assert 0 in (step % STEPS_TO_AGREE, step % validated)
  assert 11 <= step < steps
  assert (tmp_path / f"checkpoints/{step}/_CHECKPOINT_METADATA").is_file()
  code, _ = train(tmp_path)
  assert code == 0
  expected, lines = undisturbed
  assert read_metrics(tmp_path) == lines
  for ours, theirs in zip(arrays(tmp_path), expected, strict=True):
    np.testing.assert_array_equal(ours, theirs)
  tell(
    f"{program}: SIGTERM to {len(stopped)} of {HOSTS} hosts x {DEVICES} devices: "
    f"stopped after step {step} of {steps} in {seconds:.1f} s; bit-identical in the end"
  )
