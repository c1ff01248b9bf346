"""Files that are written whole or not at all."""

import contextlib
import os
import pathlib
from collections.abc import Iterator


@contextlib.contextmanager
def replacing(path: pathlib.Path) -> Iterator[pathlib.Path]:
  """A path to write to, which takes the place of `path` once all is well.

  Whatever stops the block (an error, a full disk, Ctrl-C) leaves `path` as it was.
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
