"""Atomic writing of files: completely or not at all."""

import contextlib
import os
import pathlib
from collections.abc import Iterator


@contextlib.contextmanager
def replacing(path: pathlib.Path) -> Iterator[pathlib.Path]:
  """Yields the path of a draft, which replaces `path` when the block succeeds.

  If the block fails (an error, a full disk, Ctrl-C), `path` stays as it was.
  """
  draft = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
  try:
    yield draft
    os.replace(draft, path)
  finally:
    draft.unlink(missing_ok=True)


def write_bytes(path: pathlib.Path, content: bytes) -> None:
  """Writes a file atomically."""
  with replacing(path) as draft:
    draft.write_bytes(content)
