"""Files of uploads arrive whole or not at all, and few uploads are kept."""

import pytest

from vosjax.app.uploads import Uploads


def test_a_cut_file_does_not_count_and_can_be_sent_again(tmp_path):
  uploads = Uploads(tmp_path, 1000)
  upload = uploads.begin()
  with pytest.raises(ConnectionError), uploads.receiving(upload, "a.png") as append:
    append(bytes(900))
    raise ConnectionError
  with uploads.receiving(upload, "a.png") as append:
    append(bytes(900))
    with (
      pytest.raises(ValueError, match="sent before"),
      uploads.receiving(upload, "a.png"),
    ):
      pass
  with (
    pytest.raises(ValueError, match="--upload-limit"),
    uploads.receiving(upload, "b.png") as append,
  ):
    append(bytes(101))
  (path,) = (path for path in tmp_path.rglob("*") if path.is_file())
  assert path.read_bytes() == bytes(900)


def test_abandoned_uploads_are_deleted_and_few_are_in_progress(tmp_path, monkeypatch):
  now = 0.0
  monkeypatch.setattr("vosjax.app.uploads.time.monotonic", lambda: now)
  uploads = Uploads(tmp_path, 1000)
  first = uploads.begin()
  with uploads.receiving(first, "a.png") as append:
    for _ in range(7):
      uploads.begin()
    with pytest.raises(ValueError, match="8 uploads are in progress"):
      uploads.begin()
    now = 3600.0
    latest = uploads.begin()
    append(b"x")
  assert {path.name for path in tmp_path.iterdir()} == {
    f".upload-{first}",
    f".upload-{latest}",
  }
