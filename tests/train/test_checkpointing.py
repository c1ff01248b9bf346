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
    for step in (1, 2, 3, 4):
      checkpoints.save(step, state)
      checkpoints.add_score(step, float(step))
    checkpoints.close()
  names = {path.name for path in folder.iterdir()}
  assert {"3", "4", "deleted"} <= names and not {"1", "2"} & names
  next((folder / "deleted").rglob("manifest.ocdbt")).unlink()
  checkpoints = Checkpoints(folder, keep=1)
  assert checkpoints.steps() == [4, 3]
  checkpoints.save(1, state)
  checkpoints.close()
  assert not (folder / "deleted").exists()


def truncate(folder, pattern):
  """Cuts off the second half of the largest file that a pattern matches."""
  path = max(folder.rglob(pattern), key=lambda path: path.stat().st_size)
  with path.open("r+b") as file:
    file.truncate(path.stat().st_size // 2)


@pytest.mark.parametrize("pattern", ["d/*", "checksums.json", "unlogged.json"])
def test_the_checkpoint_before_a_damaged_one_is_taken_which_is_said(
  toy, stopped, said, pattern, whole
):
  truncate(stopped / "checkpoints/10", pattern)
  ours = toy.flat(toy.run(stopped))
  for name, value in whole.items():
    np.testing.assert_array_equal(ours[name], value, err_msg=name)
  assert "checkpoints/10" in said()
  assert "going on from step 8" in said()
  assert (stopped / "checkpoints/damaged-10").is_dir()


def test_a_checkpoint_that_lacks_a_file_is_damaged(toy, stopped, said, whole):
  (stopped / "checkpoints/10/unlogged.json").unlink()
  ours = toy.flat(toy.run(stopped))
  for name, value in whole.items():
    np.testing.assert_array_equal(ours[name], value, err_msg=name)
  assert "going on from step 8" in said()


def test_a_checkpoint_whose_score_is_damaged_counts_as_not_validated(
  toy, stopped, said, whole
):
  """Step 4 was the best by the toy's scores, and step 8 was validated as well."""
  truncate(stopped / "checkpoints/4", "score.json")
  checkpoints = Checkpoints(stopped / "checkpoints", keep=2)
  assert (checkpoints.score(4), checkpoints.score(8)) == (None, -8.0)
  assert checkpoints.best() == 8
  checkpoints.close()
  assert "checkpoints/4/score.json is damaged; its checkpoint counts" in said()
  ours = toy.flat(toy.run(stopped))
  for name, value in whole.items():
    np.testing.assert_array_equal(ours[name], value, err_msg=name)


def test_a_score_that_a_killed_process_was_writing_leaves_nothing(stopped):
  draft = stopped / "checkpoints/10/.score.1a2b3c4d.part.json"
  draft.write_text("{")
  checkpoints = Checkpoints(stopped / "checkpoints", keep=2)
  checkpoints.close()
  assert not draft.exists() and checkpoints.score(10) is None


def test_checkpoints_of_an_earlier_version_are_left_as_they_are(toy, stopped):
  for folder in (stopped / "checkpoints").iterdir():
    (folder / "unlogged.json").unlink()
    (folder / "metrics").mkdir()
  with pytest.raises(ValueError, match=r"is of an earlier version .* Finish the run"):
    toy.run(stopped)
  assert sorted(path.name for path in (stopped / "checkpoints").iterdir()) == [
    *("10", "4", "8")
  ]


@pytest.mark.parametrize("pattern", ["d/*", "unlogged.json"])
def test_a_run_without_a_readable_checkpoint_does_not_begin_anew(toy, stopped, pattern):
  for folder in (stopped / "checkpoints").iterdir():
    truncate(folder, pattern)
  for _ in range(2):
    with pytest.raises(DamagedError, match="Delete the run's folder") as error:
      toy.run(stopped)
    assert "\n" not in str(error.value)
