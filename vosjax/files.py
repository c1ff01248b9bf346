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

_DRAFT = ".part"  # in the names of drafts, which begin with a dot
_CLAIMED = (errno.EAGAIN, errno.EACCES)  # another process holds the lock
_MAX_TRIES = 100  # to lock a folder that other processes make and remove


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
  """Whether a folder is empty, but for drafts of processes that were killed."""
  return all(
    path.name.startswith(".") and _DRAFT in path.name for path in folder.iterdir()
  )


def write_bytes(path: pathlib.Path, content: bytes) -> None:
  """Writes a file atomically."""
  with replacing(path) as draft:
    draft.write_bytes(content)


def write_json(path: pathlib.Path, value: Any) -> None:
  """Writes a file of JSON atomically, in lines that people can read."""
  write_bytes(path, (json.dumps(value, indent=2) + "\n").encode())


class FolderInUse(ValueError):
  """Another process works in a folder."""


@contextlib.contextmanager
def claimed(folder: pathlib.Path, argument: str) -> Iterator[None]:
  """Makes a folder and keeps it from other processes until the block ends.

  The claim is a lock on the folder itself. It leaves nothing behind and ends with the
  process, even one that is killed. Where a file system has no locks, there is no claim.
  Folders that were made are removed in the end if they are empty and not in use.

  Args:
    folder: that results are written to.
    argument: that names the folder, such as "--out result", for the message.

  Raises:
    FolderInUse: another process works in the folder.
    ValueError: a file is in its place, or in that of a parent.
    OSError: it cannot be made.
  """
  made: list[pathlib.Path] = []
  failure: OSError = FileNotFoundError(errno.ENOENT, "Keeps being removed", str(folder))
  try:
    with contextlib.ExitStack() as stack:
      for _ in range(_MAX_TRIES):
        # Whoever has locked a folder may remove it between any two of these calls.
        try:
          _make(folder, made)
          if _lock(stack, folder, argument):
            break
        except (FileNotFoundError, FileExistsError, NotADirectoryError) as error:
          failure = error
      else:
        raise _explained(failure, folder, argument)
      yield
  finally:
    for path in reversed(made):
      _remove_if_unused(path)


def _explained(failure: OSError, folder: pathlib.Path, argument: str) -> Exception:
  """Why there is no such folder, and none can be made."""
  for path in (folder, *folder.parents):
    if os.path.lexists(path) and not path.is_dir():
      kind = "a file" if path.exists() else "a link to nothing"
      return ValueError(f"{argument}: {path} is {kind}; give a folder.")
  return failure


def _make(folder: pathlib.Path, made: list[pathlib.Path]) -> None:
  """Makes a folder and its parents; adds those that did not exist to `made`."""
  if folder.is_dir():  # to make it again may be refused for other reasons
    return
  try:
    folder.mkdir()
  except FileExistsError:
    return
  except FileNotFoundError:
    if folder.parent == folder:
      raise
    _make(folder.parent, made)
    folder.mkdir()
  made.append(folder)


def _lock(stack: contextlib.ExitStack, folder: pathlib.Path, argument: str) -> bool:
  """Locks a folder until the stack is left; False if it was removed meanwhile."""
  if fcntl is None:
    return folder.is_dir()
  with contextlib.ExitStack() as opened:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    opened.callback(os.close, descriptor)
    try:
      fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
      if error.errno in _CLAIMED:
        raise FolderInUse(
          f"{argument}: another process is working in it. Wait until it has ended, or "
          "give another folder."
        ) from None
    if not os.path.samestat(os.fstat(descriptor), os.stat(folder)):
      return False
    stack.push(opened.pop_all())
  return True


def _remove_if_unused(folder: pathlib.Path) -> None:
  """Removes a folder that is empty, unless a process works in it."""
  with contextlib.suppress(OSError, FolderInUse), contextlib.ExitStack() as stack:
    if _lock(stack, folder, str(folder)):
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
