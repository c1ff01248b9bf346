"""Files that are written completely or not at all, by one process at a time."""

import contextlib
import errno
import json
import os
import pathlib
import secrets
import shutil
import zlib
from collections.abc import Iterator
from typing import Any

try:
  import fcntl
except ImportError:  # Windows, where two processes are not kept apart
  fcntl = None  # type: ignore[assignment]

LOCK = ".lock"  # file in a shared folder that a process works in, or was killed in
_DRAFT = ".part"  # in the names of drafts, which begin with a dot
_CLAIMED = (errno.EAGAIN, errno.EACCES)  # another process holds the lock
_ATTEMPTS = 10  # to lock a folder that other processes make and remove meanwhile


class FolderInUse(ValueError):
  """Another process works in a folder."""


@contextlib.contextmanager
def replacing(path: pathlib.Path) -> Iterator[pathlib.Path]:
  """Yields the path of a draft, which replaces `path` when the block succeeds.

  If the block fails (an error, a full disk, Ctrl-C), `path` stays as it was. An OSError
  that names no file, as that of a full disk, names `path`.
  """
  # Threads may write one file at the same time: each has a draft of its own.
  draft = path.with_name(f".{path.stem}.{secrets.token_hex(4)}{_DRAFT}{path.suffix}")
  try:
    yield draft
    os.replace(draft, path)
  except OSError as error:
    if error.errno is None or error.filename is not None:
      raise
    raise OSError(error.errno, error.strerror, str(path)) from error
  finally:
    draft.unlink(missing_ok=True)


def checksums(folder: pathlib.Path) -> dict[str, int]:
  """CRC-32 of each file below a folder, by its path in it."""
  return {
    path.relative_to(folder).as_posix(): zlib.crc32(path.read_bytes())
    for path in sorted(folder.rglob("*"))
    if path.is_file()
  }


def holds_nothing(folder: pathlib.Path) -> bool:
  """Whether a folder is empty, but for drafts and locks of processes."""
  return all(
    path.name == LOCK or (path.name.startswith(".") and _DRAFT in path.name)
    for path in folder.iterdir()
  )


def write_bytes(path: pathlib.Path, content: bytes) -> None:
  """Writes a file atomically."""
  with replacing(path) as draft:
    draft.write_bytes(content)


def write_json(path: pathlib.Path, value: Any) -> None:
  """Writes a file of JSON atomically, in lines that people can read."""
  write_bytes(path, (json.dumps(value, indent=2) + "\n").encode())


@contextlib.contextmanager
def claimed(
  folder: pathlib.Path, argument: str, *, shared: bool = False
) -> Iterator[None]:
  """Makes a folder and keeps it from other processes until the block ends.

  The claim is a lock, which ends with the process, even one that is killed. Where a
  file system has no locks, there is no claim. What was made is removed if it is still
  empty in the end.

  Args:
    folder: that results are written to.
    argument: that names the folder, such as "--out result", for the message.
    shared: lock a file in the folder, LOCK, instead of the folder itself. Other
      machines see it too: NFS keeps locks on folders to one machine. It is removed in
      the end; a process that is killed leaves it, without the lock.

  Raises:
    FolderInUse: another process works in the folder.
    ValueError: the folder is a file, or is in one.
  """
  made = [path for path in (folder, *folder.parents) if not path.exists()]
  with contextlib.ExitStack() as stack:
    for path in reversed(made):
      stack.callback(_remove_if_empty, path)
    try:
      descriptor = _make_and_open(folder, shared)
    except (FileExistsError, NotADirectoryError):
      raise ValueError(f"{argument}: is a file, or is in one; give a folder.") from None
    if descriptor is not None:
      stack.callback(os.close, descriptor)
      if not _lock(descriptor):
        raise FolderInUse(
          f"{argument}: another process is working in it. Wait until it has ended, or "
          "give another folder."
        )
      if shared:  # while it is locked, so that nobody removes the lock of another one
        stack.callback((folder / LOCK).unlink, missing_ok=True)
    yield


def _make_and_open(folder: pathlib.Path, shared: bool) -> int | None:
  """Makes a folder and opens what is to be locked; None if nothing is."""
  for attempt in range(_ATTEMPTS):
    try:
      folder.mkdir(parents=True, exist_ok=True)
      if fcntl is None:
        return None
      if not shared:
        return os.open(folder, os.O_RDONLY)
      # NFS grants locks on files that are open for writing.
      return os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    except (FileNotFoundError, FileExistsError):
      if attempt + 1 == _ATTEMPTS:  # not another process that has removed the folder
        raise
    except OSError:
      if not folder.is_dir() or os.access(folder, os.W_OK):
        raise
      return None  # results can be read, but none can be written
  raise AssertionError("the last attempt returns or raises")


def _lock(descriptor: int) -> bool:
  """Locks a file or a folder until it is closed; False if another process has."""
  try:
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
  except OSError as error:
    return error.errno not in _CLAIMED
  # Without a name, it is what another process has removed since it was opened.
  return os.fstat(descriptor).st_nlink > 0


def _remove_if_empty(folder: pathlib.Path) -> None:
  with contextlib.suppress(OSError):
    folder.rmdir()


def require_space(folder: pathlib.Path, needed: int) -> None:
  """Raises an OSError if a disk is too full for so many bytes.

  Asked before orbax writes, whose threads print tracebacks on a full disk.

  Args:
    folder: on that disk.
    needed: number of bytes.
  """
  if shutil.disk_usage(folder).free < needed:
    raise disk_full(folder)


def disk_full(folder: pathlib.Path) -> OSError:
  """The error that says that the disk of a folder is full."""
  return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))
