"""Videos that browsers send, until they are complete."""

import contextlib
import dataclasses
import pathlib
import re
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterator

from vosjax import files
from vosjax.app import videos
from vosjax.data.codecs import images

UPLOADED = "upload"  # folder of a project with the uploaded video

_MARK = ".upload-"  # hidden folders of uploads that are not complete
_MOST_UPLOADS = 8  # in progress
_MOST_FILES = 100_000
_LONGEST_NAME = 200  # bytes, so that the name of its draft fits in 255
_IDLE_SECONDS = 600.0  # after which an upload is deleted that receives nothing


@dataclasses.dataclass
class Upload:
  """A video that a browser is sending.

  Attributes:
    folder: that receives its files.
    changed: when something was received last, in seconds of a clock.
    used: bytes received so far.
    names: of the files that were received or are coming.
    receiving: number of files that are coming.
  """

  folder: pathlib.Path
  changed: float
  used: int = 0
  names: set[str] = dataclasses.field(default_factory=set)
  receiving: int = 0


class Uploads:
  """Receives videos. Threads may share it.

  Args:
    folder: of the projects; uploads that an earlier server left there are deleted.
    limit: bytes of all files of an upload.
  """

  def __init__(self, folder: pathlib.Path, limit: int):
    self._folder, self._limit = folder, limit
    self._lock = threading.Lock()
    self._found: dict[str, Upload] = {}
    for stale in folder.glob(f"{_MARK}*"):
      shutil.rmtree(stale)

  def begin(self) -> str:
    """Makes room for a video that a browser sends; returns the id of the upload.

    Uploads that nothing has been sent to for a while are deleted.

    Raises:
      ValueError: too many are in progress.
    """
    upload_id = secrets.token_hex(8)
    folder = self._folder / f"{_MARK}{upload_id}"
    now = time.monotonic()
    with self._lock:
      expired = [
        (name, one)
        for name, one in self._found.items()
        if not one.receiving and now - one.changed > _IDLE_SECONDS
      ]
      for name, _ in expired:
        del self._found[name]
      if len(self._found) >= _MOST_UPLOADS:
        raise ValueError(
          f"{_MOST_UPLOADS} uploads are in progress; wait until one has ended."
        )
      self._found[upload_id] = Upload(folder, changed=now)
    for _, one in expired:
      shutil.rmtree(one.folder, ignore_errors=True)
    (folder / UPLOADED).mkdir(parents=True)
    return upload_id

  @contextlib.contextmanager
  def receiving(self, upload_id: str, name: str) -> Iterator[Callable[[bytes], None]]:
    """Yields a function that appends to a file of an upload.

    A file whose block fails is not kept, does not count and can be sent again.

    Raises:
      KeyError: there is no such upload.
      ValueError: the name is not that of a video or an image, or was sent before; or
        the upload is too large.
    """
    upload = self._found[upload_id]
    self._reserve(upload, name)
    received = 0

    def append(chunk: bytes) -> None:
      nonlocal received
      with self._lock:
        upload.used += len(chunk)
        received += len(chunk)
        used = upload.used
      if used > self._limit:
        raise ValueError(
          f"the upload is larger than {self._limit / 1e9:.1f} GB. Name the video "
          "when you start `vosjax app`, or raise --upload-limit."
        )
      file.write(chunk)

    try:
      path = upload.folder / UPLOADED / name
      with files.replacing(path) as draft, open(draft, "wb") as file:
        yield append
    except BaseException:
      with self._lock:
        upload.used -= received
        upload.names.discard(name)
      raise
    finally:
      with self._lock:
        upload.receiving -= 1
        upload.changed = time.monotonic()

  def _reserve(self, upload: Upload, name: str) -> None:
    """Keeps a name for a file that is coming.

    Raises:
      ValueError: it is not that of a video or an image, or is taken.
    """
    suffix = pathlib.PurePath(name).suffix.lower()
    plain = re.fullmatch(r"[^/\\\0]+", name) and not name.startswith(".")
    fits = len(name.encode()) <= _LONGEST_NAME
    if not (plain and fits) or suffix not in (*videos.VIDEO_SUFFIXES, *images.SUFFIXES):
      raise ValueError(f"{name!r} is not the name of a video file or of an image.")
    with self._lock:
      if name in upload.names or len(upload.names) >= _MOST_FILES:
        raise ValueError(f"{name!r} was sent before, or there are too many files.")
      upload.names.add(name)
      upload.receiving += 1

  def finish(self, upload_id: str) -> tuple[pathlib.Path, pathlib.Path]:
    """Ends an upload; its folder is the caller's from now on.

    Returns:
      The folder, and the path of the video in it: a file, or the folder of its frames.

    Raises:
      KeyError: there is no such upload.
    """
    with self._lock:
      folder = self._found.pop(upload_id).folder
    for draft in (folder / UPLOADED).glob(".*"):  # of files that still come
      draft.unlink(missing_ok=True)
    sent = list((folder / UPLOADED).iterdir())
    video = pathlib.Path(UPLOADED)
    if len(sent) == 1 and sent[0].suffix.lower() in videos.VIDEO_SUFFIXES:
      video /= sent[0].name
    return folder, video
