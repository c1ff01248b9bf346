"""Files that are written completely or not at all."""

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
