"""The projects of a server, and the files that they may be made from."""

import contextlib
import dataclasses
import hashlib
import pathlib
import re
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from vosjax import files
from vosjax.app import projects, videos
from vosjax.app.follow import Follower
from vosjax.app.frames import FrameImages
from vosjax.app.projects import Project
from vosjax.data.codecs import images
from vosjax.inference.engine import VideoSegmenter
from vosjax.media.video_frames import VideoFrames

_UPLOAD_MARK = ".upload-"  # hidden folders of uploads that are not complete
_UPLOADED = "upload"  # folder of a project with the uploaded video
_MOST_ENTRIES = 2000  # of a folder that the page lists
_MOST_UPLOADED_FILES = 100_000
_LONGEST_NAME = 200  # bytes, so that the name of its draft fits in 255
_MOST_UPLOADS = 8  # in progress
_UPLOAD_SECONDS = 600.0  # after which an upload is forgotten that receives nothing


@dataclasses.dataclass(eq=False)
class OpenProject:
  """A project that windows look at.

  Attributes:
    project: its files.
    images: its frames, for the page.
    follower: segments its video.
  """

  project: Project
  images: FrameImages
  follower: Follower

  def close(self) -> None:
    """Stops following, after the frame in progress, and closes the files."""
    self.follower.pause()
    self.project.close()


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


class Library:
  """Opens videos as projects. Threads may share it.

  Args:
    folder: that holds the projects, a folder each.
    roots: videos, and folders below which videos may be opened.
    segmenter: shared by all projects.
    model: digest of the model and its options.
    announce: called with a project's id and the number of a frame that has a new
      result, or None if only the status has changed.
    upload_limit: bytes of all files of an upload.
    allow_damaged: leave damaged frames out, see `read_video`.
  """

  def __init__(
    self,
    folder: pathlib.Path,
    roots: Sequence[pathlib.Path],
    segmenter: VideoSegmenter,
    model: str,
    announce: Callable[[str, int | None], None],
    upload_limit: int,
    allow_damaged: bool = False,
  ):
    self.folder, self.roots = folder, [root.resolve() for root in roots]
    self._segmenter, self._model, self._announce = segmenter, model, announce
    self.upload_limit = upload_limit
    self._allow_damaged = allow_damaged
    self._lock = threading.Lock()  # of the dictionaries; nothing is read under it
    self._turns: dict[str, threading.Lock] = {}
    self._open: dict[str, OpenProject] = {}
    self._uploads: dict[str, Upload] = {}
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.glob(f"{_UPLOAD_MARK}*"):
      shutil.rmtree(stale)

  def names(self) -> list[dict[str, str]]:
    """The projects of videos that may be opened, the latest first: id and name.

    Entries whose names are not UTF-8 are left out here and in `browse`.
    """
    found = sorted(self._project_files(), key=lambda path: -path.stat().st_mtime_ns)
    listed = []
    for path in found:
      try:
        video = projects.read_json(path.parent)["video"]
        self._source(path.parent, video)
        videos.require_unicode(path.parent)
      except ValueError:
        continue  # opening it says what is wrong
      listed.append({"id": path.parent.name, "name": title(video)})
    return listed

  def get(self, project_id: str) -> OpenProject:
    """A project by its id; opens it if that has not been done.

    Raises:
      KeyError: there is none.
      ValueError: its file or its video is damaged, missing, or not below a root.
    """
    if (opened := self._opened(project_id)) is not None:
      return opened
    folder = self.folder / project_id
    if folder not in {path.parent for path in self._project_files()}:
      raise KeyError(project_id)
    with self._turn(project_id):
      if (opened := self._opened(project_id)) is not None:
        return opened
      source = self._source(folder, projects.read_json(folder)["video"])
      return self._add(folder, self._read(folder, source))

  def _project_files(self) -> list[pathlib.Path]:
    """The files of all projects that are complete."""
    found = self.folder.glob(f"*/{projects.PROJECT_FILE}")
    return [path for path in found if not path.parent.name.startswith(".")]

  def _opened(self, project_id: str) -> OpenProject | None:
    """A project that is open; closes it if somebody has deleted its folder."""
    with self._lock:
      opened = self._open.get(project_id)
      if opened is None or (opened.project.folder / projects.PROJECT_FILE).exists():
        return opened
      del self._open[project_id]
    opened.close()
    return None

  @contextlib.contextmanager
  def _turn(self, project_id: str) -> Iterator[None]:
    """Waits for other threads that open this project; those of others go on."""
    with self._lock:
      turn = self._turns.setdefault(project_id, threading.Lock())
    with turn:
      yield

  def _source(self, folder: pathlib.Path, video: str) -> pathlib.Path:
    """Where the video of a project is.

    Raises:
      ValueError: it is an uploaded one outside of the folder of the project, or
        another one outside of the roots.
    """
    if pathlib.PurePath(video).is_absolute():
      return videos.resolve(pathlib.Path(video), self.roots)
    return videos.resolve(folder / video, [folder.resolve()])

  def _read(self, folder: pathlib.Path, source: pathlib.Path) -> VideoFrames:
    """The video of a project.

    Raises:
      ValueError: it is not one, or leads outside of the roots and the folder.
    """
    videos.require_inside(source, [*self.roots, folder.resolve() / _UPLOADED])
    return videos.read(source, self._allow_damaged)

  def _add(self, folder: pathlib.Path, video: VideoFrames) -> OpenProject:
    project = Project(folder, video)

    def announce(frame: int | None) -> None:
      self._announce(project.id, frame)

    # Results of other weights, or of a video that has changed since, are stale.
    key = f"{self._model} {project.version}"
    reader = videos.another_reader(video)
    follower = Follower(self._segmenter, key, project, reader, announce)
    opened = OpenProject(project, FrameImages(video), follower)
    with self._lock:
      self._open[project.id] = opened
    return opened

  def open(self, path: pathlib.Path) -> OpenProject:
    """The project of a video; makes it if there is none.

    Raises:
      ValueError: the path is not below a root, or is not a video.
    """
    path = videos.resolve(path, self.roots)
    if not path.exists():
      raise ValueError(f"{path}: no such video file or folder of frames.")
    digest = hashlib.sha1(str(path).encode()).hexdigest()[:8]
    folder = self.folder / f"{_slug(title(str(path)))}-{digest}"
    with self._turn(folder.name):
      if (opened := self._opened(folder.name)) is not None:
        return opened
      video = self._read(folder, path)  # a folder is made only for what can be read
      if not (folder / projects.PROJECT_FILE).exists():
        folder.mkdir(exist_ok=True)
        projects.write_json(folder, {"format": projects.FORMAT, "video": str(path)})
      return self._add(folder, video)

  def browse(self, path: str | None) -> list[dict[str, Any]]:
    """What can be opened in a folder, or all roots if there is no path.

    Raises:
      ValueError: the path is not below a root, or is not a folder.
    """
    if path is None:
      return [_entry(root) | {"name": str(root)} for root in self.roots]
    folder = videos.resolve(pathlib.Path(path), self.roots)
    if not folder.is_dir():
      raise ValueError(f"{path}: is not a folder.")
    inside = sorted(p for p in folder.iterdir() if not p.name.startswith("."))
    entries = []
    for item in inside[:_MOST_ENTRIES]:
      if not videos.is_unicode(item.name) or self._leads_outside(item):
        continue
      is_video = item.suffix.lower() in videos.VIDEO_SUFFIXES and item.is_file()
      if is_video or item.is_dir():
        entries.append(_entry(item))
    return entries

  def _leads_outside(self, item: pathlib.Path) -> bool:
    """Whether an entry of a folder is a link to something that cannot be opened."""
    if not item.is_symlink():
      return False
    try:
      videos.resolve(item, self.roots)
    except ValueError:
      return True
    return False

  def begin_upload(self) -> str:
    """Makes room for a video that a browser sends; returns the id of the upload.

    Uploads that nothing has been sent to for a while are deleted.

    Raises:
      ValueError: too many are in progress.
    """
    upload_id = secrets.token_hex(8)
    folder = self.folder / f"{_UPLOAD_MARK}{upload_id}"
    now = time.monotonic()
    with self._lock:
      expired = [
        (name, one)
        for name, one in self._uploads.items()
        if not one.receiving and now - one.changed > _UPLOAD_SECONDS
      ]
      for name, _ in expired:
        del self._uploads[name]
      if len(self._uploads) >= _MOST_UPLOADS:
        raise ValueError(
          f"{_MOST_UPLOADS} uploads are in progress; wait until one has ended."
        )
      self._uploads[upload_id] = Upload(folder, changed=now)
    for _, one in expired:
      shutil.rmtree(one.folder, ignore_errors=True)
    (folder / _UPLOADED).mkdir(parents=True)
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
    upload = self._uploads[upload_id]
    self._reserve(upload, name)
    received = 0

    def append(chunk: bytes) -> None:
      nonlocal received
      with self._lock:
        upload.used += len(chunk)
        received += len(chunk)
        used = upload.used
      if used > self.upload_limit:
        raise ValueError(
          f"the upload is larger than {self.upload_limit / 1e9:.1f} GB. Name the video "
          "when you start `vosjax app`, or raise --upload-limit."
        )
      file.write(chunk)

    try:
      path = upload.folder / _UPLOADED / name
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
      if name in upload.names or len(upload.names) >= _MOST_UPLOADED_FILES:
        raise ValueError(f"{name!r} was sent before, or there are too many files.")
      upload.names.add(name)
      upload.receiving += 1

  def finish_upload(self, upload_id: str) -> OpenProject:
    """Makes a project of what was sent.

    Raises:
      KeyError: there is no such upload.
      ValueError: it is not a video; what was sent is deleted.
    """
    with self._lock:
      upload = self._uploads.pop(upload_id)
    inside_folder = (upload.folder / _UPLOADED).iterdir()
    sent = sorted(path for path in inside_folder if not path.name.startswith("."))
    inside = pathlib.Path(_UPLOADED)
    if len(sent) == 1 and sent[0].suffix.lower() in videos.VIDEO_SUFFIXES:
      inside /= sent[0].name
    try:
      if not sent:
        raise ValueError("nothing was sent.")
      self._read(upload.folder, upload.folder / inside)
    except (ValueError, OSError) as error:
      shutil.rmtree(upload.folder)
      message = str(error).replace(f"{upload.folder / _UPLOADED}", "").lstrip("/: ")
      raise ValueError(message) from None
    stem = inside.stem if inside != pathlib.Path(_UPLOADED) else "frames"
    folder = self.folder / f"{_slug(stem)}-{upload_id[:8]}"
    value = {"format": projects.FORMAT, "video": inside.as_posix()}
    projects.write_json(upload.folder, value)
    for draft in (upload.folder / _UPLOADED).glob(".*"):  # of files that still come
      draft.unlink()
    upload.folder.rename(folder)
    return self.get(folder.name)

  def close(self) -> None:
    """Stops all following, after the frames in progress, and closes all projects."""
    with self._lock:
      closing = list(self._open.values())
      self._open.clear()
    for opened in closing:
      opened.close()


def _entry(path: pathlib.Path) -> dict[str, Any]:
  kind = "video"
  if path.is_dir():
    kind = "frames" if videos.holds_frames(path) else "folder"
  return {"name": path.name or str(path), "path": str(path), "kind": kind}


def title(path: str) -> str:
  """What to call a video: its name, and that of its folder if it is a folder."""
  pure = pathlib.PurePath(path)
  return pure.name if pure.suffix else "/".join(pure.parts[-2:])


def _slug(text: str) -> str:
  """Letters and digits of a name, for folders and addresses."""
  return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:40] or "video"
