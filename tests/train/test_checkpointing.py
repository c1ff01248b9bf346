"""Checkpoints of a run that are damaged, on the toy run."""

import logging
import shutil

import numpy as np
import pytest

from vosjax.train.checkpointing import Checkpoints, DamagedError
from vosjax.train.interrupt import Interrupted


@pytest.fixture
def stopped(toy, tmp_path):
  """Folder of a run with checkpoints of steps 8 and 10, by the order of these."""
  with pytest.raises(Interrupted, match="after step 10"):
    toy.run(tmp_path, observers=[toy.signal_after(9)])
  return tmp_path


@pytest.fixture
def said(caplog, monkeypatch):
  """Text of all warnings."""
  monkeypatch.setattr(logging.getLogger("vosjax"), "propagate", True)
  return lambda: " ".join(record.getMessage() for record in caplog.records)


@pytest.fixture(scope="module")
def whole(toy, tmp_path_factory):
  """What an undisturbed run ends with."""
  return toy.flat(toy.run(tmp_path_factory.mktemp("whole")))


def test_nothing_remains_of_a_checkpoint_that_was_being_deleted(tmp_path, monkeypatch):
  """A kill may come between any two of its files."""
  folder, state = tmp_path / "checkpoints", {"x": np.arange(3.0)}
  checkpoints = Checkpoints(folder, keep=1)
  with monkeypatch.context() as killed:
    killed.setattr(shutil, "rmtree", lambda *_, **__: None)
    for step in (1, 2, 3):
      checkpoints.save(step, state, score=float(step))
    checkpoints.close()
  names = {path.name for path in folder.iterdir()}
  assert {"3", "deleted"} <= names and not {"1", "2"} & names
  next((folder / "deleted").rglob("manifest.ocdbt")).unlink()
  checkpoints = Checkpoints(folder, keep=1)
  assert checkpoints.steps() == [3]
  checkpoints.save(1, state, score=0.0)
  checkpoints.close()
  assert not (folder / "deleted").exists()


def truncate(folder, pattern):
  """Cuts off the second half of the largest file that a pattern matches."""
  path = max(folder.rglob(pattern), key=lambda path: path.stat().st_size)
  with path.open("r+b") as file:
    file.truncate(path.stat().st_size // 2)


@pytest.mark.parametrize("pattern", ["d/*", "checksums.json", "metrics/metrics"])
def test_the_checkpoint_before_a_damaged_one_is_taken_which_is_said(
  toy, stopped, said, pattern, whole
):
  truncate(stopped / "checkpoints/10", pattern)
  ours = toy.flat(toy.run(stopped))
  for name, value in whole.items():
    np.testing.assert_array_equal(ours[name], value, err_msg=name)
  assert "checkpoints/10" in said()
  assert ("going on from step 8" in said()) == (pattern != "metrics/metrics")
  assert (stopped / "checkpoints/damaged-10").is_dir()


@pytest.mark.parametrize("pattern", ["d/*", "metrics/metrics"])
def test_a_run_without_a_readable_checkpoint_does_not_begin_anew(toy, stopped, pattern):
  for folder in (stopped / "checkpoints").iterdir():
    truncate(folder, pattern)
  for _ in range(2):
    with pytest.raises(DamagedError, match="Delete the run's folder") as error:
      toy.run(stopped)
    assert "\n" not in str(error.value)
