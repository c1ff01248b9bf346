"""Files that are written completely or not at all, by one process at a time."""

import errno
import os

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
    pytest.raises(ValueError, match="--out x: is a file"),
    files.claimed(folder / "result", "--out x"),
  ):
    pass


def test_a_shared_folder_is_claimed_by_a_file_that_does_not_stay(tmp_path):
  folder = tmp_path / "results/one"
  with files.claimed(folder, "--out one", shared=True):
    assert [path.name for path in folder.iterdir()] == [files.LOCK]
    with (
      pytest.raises(files.FolderInUse, match="--out one: another process is working"),
      files.claimed(folder, "--out one", shared=True),
    ):
      pass
    assert (folder / files.LOCK).exists()
  assert [*tmp_path.iterdir()] == []


def test_the_lock_of_a_killed_process_does_not_matter(tmp_path):
  (tmp_path / files.LOCK).touch()
  assert files.holds_nothing(tmp_path)
  with files.claimed(tmp_path, "--out one", shared=True):
    assert (tmp_path / files.LOCK).exists()
  assert [*tmp_path.iterdir()] == []


def test_a_lock_that_its_owner_removes_meanwhile_is_no_claim(tmp_path, monkeypatch):
  """A third process may have made and locked another file of this name since."""
  theirs = files.claimed(tmp_path, "theirs", shared=True)
  theirs.__enter__()
  flock = files.fcntl.flock

  def release_and_lock(*args):
    theirs.__exit__(None, None, None)
    flock(*args)

  monkeypatch.setattr(files.fcntl, "flock", release_and_lock)
  with (
    pytest.raises(files.FolderInUse),
    files.claimed(tmp_path, "ours", shared=True),
  ):
    pass
  monkeypatch.setattr(files.fcntl, "flock", flock)
  with files.claimed(tmp_path, "ours", shared=True):
    pass


def test_a_folder_that_another_process_removes_is_made_again(tmp_path, monkeypatch):
  folder, opened = tmp_path / "results/one", os.open

  def remove_and_open(path, *args):
    monkeypatch.setattr(os, "open", opened)
    folder.rmdir()
    folder.parent.rmdir()
    return opened(path, *args)

  monkeypatch.setattr(os, "open", remove_and_open)
  with files.claimed(folder, "--out one", shared=True):
    assert (folder / files.LOCK).exists()


def test_a_folder_that_may_only_be_read_needs_no_claim(tmp_path, monkeypatch):
  def forbidden(path, *_):
    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

  monkeypatch.setattr(os, "open", forbidden)
  with (
    pytest.raises(PermissionError),  # of another user, who may work in it
    files.claimed(tmp_path, "--out one", shared=True),
  ):
    pass
  monkeypatch.setattr(os, "access", lambda *_: False)
  with files.claimed(tmp_path, "--out one", shared=True):
    assert [*tmp_path.iterdir()] == []


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
