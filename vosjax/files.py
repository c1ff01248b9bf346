"""Files that are written completely or not at all."""

import contextlib
import errno
import os
import pathlib
import shutil
from collections.abc import Iterator


@contextlib.contextmanager
def replacing(path: pathlib.Path) -> Iterator[pathlib.Path]:
  """Yields the path of a draft, which replaces `path` when the block succeeds.

  If the block fails (an error, a full disk, Ctrl-C), `path` stays as it was. An OSError
  that names no file, as that of a full disk, names `path`.
  """
  draft = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
  try:
    yield draft
    os.replace(draft, path)
  except OSError as error:
    if error.errno is None or error.filename is not None:
      raise
    raise OSError(error.errno, error.strerror, str(path)) from error
  finally:
    draft.unlink(missing_ok=True)


def write_bytes(path: pathlib.Path, content: bytes) -> None:
  """Writes a file atomically."""
  with replacing(path) as draft:
    draft.write_bytes(content)


def require_space(folder: pathlib.Path, needed: int) -> None:
  """Raises an OSError if a disk is too full for so many bytes.

  Asked before orbax writes, whose threads print tracebacks on a full disk.

  Args:
    folder: on that disk.
    needed: number of bytes.
  """
  if shutil.disk_usage(folder).free < needed:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))
