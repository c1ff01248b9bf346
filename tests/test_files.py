"""Files that are written completely or not at all, by one process at a time."""

import contextlib
import errno
import os
import pathlib

import pytest

from vosjax import files


@pytest.mark.parametrize("named", [None, "elsewhere.bin"])
def test_a_full_disk_names_the_file_and_leaves_the_old_one(named, tmp_path):
  path = tmp_path / "labels.png"
  path.write_bytes(b"old")
  with (
    pytest.raises(OSError, match="No space left") as caught,
    files.replacing(path) as draft,
  ):
    draft.write_bytes(b"ne")
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), named)
  assert caught.value.filename == (named or str(path))
  assert path.read_bytes() == b"old" and [*tmp_path.iterdir()] == [path]


def test_a_folder_is_claimed_once_and_left_as_it_was(tmp_path):
  folder = tmp_path / "runs/one"
  with files.claimed(folder, "--workdir=one"):
    with (
      pytest.raises(ValueError, match="--workdir=one: another process is working"),
      files.claimed(folder, "--workdir=one"),
    ):
      pass
    assert [*folder.iterdir()] == []
  assert [*tmp_path.iterdir()] == []
  with files.claimed(folder, "--workdir=one"):
    (folder / "result").touch()
  assert [*folder.iterdir()] == [folder / "result"]
  with (
    pytest.raises(ValueError, match="--out x: .*/result is a file; give a folder"),
    files.claimed(folder / "result", "--out x"),
  ):
    pass


@pytest.mark.skipif(files.fcntl is None, reason="this system has no locks")
@pytest.mark.parametrize(("module", "name"), [(pathlib.Path, "mkdir"), (os, "open")])
def test_a_folder_is_left_to_the_process_that_locked_it_first(
  tmp_path, monkeypatch, module, name
):
  """Whichever of both made it."""
  folder, call = tmp_path / "out", getattr(module, name)

  def late(*args, **options):
    monkeypatch.setattr(module, name, call)
    theirs.enter_context(files.claimed(folder, "theirs"))
    return call(*args, **options)

  with contextlib.ExitStack() as theirs:
    monkeypatch.setattr(module, name, late)
    with pytest.raises(files.FolderInUse), files.claimed(folder, "ours"):
      pass
    assert getattr(module, name) is call
    assert folder.is_dir()
    with pytest.raises(files.FolderInUse), files.claimed(folder, "ours"):
      pass


@pytest.mark.skipif(files.fcntl is None, reason="this system has no locks")
@pytest.mark.parametrize("name", ["open", "stat"])
@pytest.mark.parametrize("again", [False, True])
def test_a_folder_that_is_removed_meanwhile_is_made_again(
  tmp_path, monkeypatch, name, again
):
  """By the process that had locked it: just before it is opened, or locked."""
  folder, call = tmp_path / "out", getattr(os, name)

  def removed_before(*args, **options):
    monkeypatch.setattr(os, name, call)
    folder.rmdir()
    if again:  # by a third process; kept beside, so that its number is another one
      pathlib.Path(f"{folder}.new").mkdir()
      pathlib.Path(f"{folder}.new").rename(folder)
    return call(*args, **options)

  monkeypatch.setattr(os, name, removed_before)
  with files.claimed(folder, "ours"):
    assert getattr(os, name) is call
    assert folder.is_dir()
    with pytest.raises(files.FolderInUse), files.claimed(folder, "theirs"):
      pass


def test_a_link_to_nothing_is_no_folder(tmp_path):
  (tmp_path / "out").symlink_to(tmp_path / "absent")
  for folder in (tmp_path / "out", tmp_path / "out/one"):
    with (
      pytest.raises(
        ValueError, match="--out x: .*/out is a link to nothing; give a fol"
      ),
      files.claimed(folder, "--out x"),
    ):
      pass
  assert [*tmp_path.iterdir()] == [tmp_path / "out"]


def test_what_was_made_is_removed_if_the_rest_cannot_be_made(tmp_path):
  with (
    pytest.raises(OSError, match="too long"),
    files.claimed(tmp_path / "new" / ("x" * 999), "--out x"),
  ):
    pass
  assert [*tmp_path.iterdir()] == []


def test_a_folder_below_one_that_cannot_be_made_is_an_error_of_its_own(monkeypatch):
  """As in a working directory that was deleted."""

  def gone(path, *args, **options):
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))

  monkeypatch.setattr(pathlib.Path, "mkdir", gone)
  with (
    pytest.raises(FileNotFoundError),
    files.claimed(pathlib.Path("/no/x"), "--out x"),
  ):
    pass


def test_a_folder_that_exists_is_not_made(tmp_path, monkeypatch):
  """Some file systems refuse that for lack of permission, not because it exists."""

  def refused(path, *args, **options):
    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

  monkeypatch.setattr(pathlib.Path, "mkdir", refused)
  with files.claimed(tmp_path, "--out x"):
    pass
  assert tmp_path.is_dir()


@pytest.mark.skipif(files.fcntl is None, reason="this system has no locks")
def test_a_folder_in_which_another_process_works_is_not_removed(tmp_path):
  folder = tmp_path / "out/one"
  with contextlib.ExitStack() as theirs:
    with files.claimed(folder, "ours"):
      theirs.enter_context(files.claimed(tmp_path / "out", "theirs"))
    assert (tmp_path / "out").is_dir() and not folder.exists()
  with contextlib.ExitStack() as theirs:
    with files.claimed(folder, "ours"):
      folder.rename(tmp_path / "results")  # as imports do in the end
      theirs.enter_context(files.claimed(folder, "theirs"))
    assert folder.is_dir()


def test_a_file_system_without_locks_can_be_written_to(tmp_path, monkeypatch):
  def unsupported(*_):
    raise OSError(errno.EBADF, os.strerror(errno.EBADF))

  monkeypatch.setattr(files.fcntl, "flock", unsupported)
  with files.claimed(tmp_path / "out", "--out out"):
    assert (tmp_path / "out").is_dir()


def test_drafts_of_a_killed_process_are_nothing(tmp_path):
  with (
    pytest.raises(KeyboardInterrupt),
    files.replacing(tmp_path / "job.json") as draft,
  ):
    name = draft.name
    raise KeyboardInterrupt
  (tmp_path / name).touch()
  assert files.holds_nothing(tmp_path)
  (tmp_path / "job.json").touch()
  assert not files.holds_nothing(tmp_path)


def test_two_drafts_of_one_file_do_not_mix(tmp_path):
  path = tmp_path / "a.txt"
  with files.replacing(path) as first, files.replacing(path) as second:
    first.write_text("first")
    second.write_text("second")
  assert path.read_text() == "first"  # it ended last
  assert [one.name for one in tmp_path.iterdir()] == ["a.txt"]
